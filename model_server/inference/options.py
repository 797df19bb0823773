"""How all requests are answered."""

from dataclasses import dataclass

from model_server.metrics import Metrics


@dataclass(frozen=True)
class InferenceOptions:
    """The server's flags that shape answers.

    Args:
        as_content: Predict answers with `tensor_content` instead of the typed fields.
        check_method_names: a signature answers only the RPC that its method name is for.
        metrics: where the models' run times go.
    """

    as_content: bool = False
    check_method_names: bool = False
    metrics: Metrics | None = None
