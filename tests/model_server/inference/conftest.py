"""half_plus_two, loaded once, and a PredictionService that serves it as model "m"."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model_server.errors import InvalidArgumentError, NotFoundError, RequestError
from model_server.inference.options import InferenceOptions
from model_server.servable import Lease
from model_server.services.prediction_service import PredictionService

NAME, VERSION = "m", 123


class OneModel:
    """Stands in for Models: one version of one model."""

    def __init__(self, servable) -> None:
        self._servable = servable

    @contextmanager
    def lease(self, spec) -> Iterator[Lease]:
        if not spec.name:
            raise InvalidArgumentError("ModelSpec has no name specified.")
        if spec.name != NAME or spec.version.value not in (0, VERSION):
            raise NotFoundError(f"Servable not found for request: {spec.name}")
        yield Lease(VERSION, self._servable)


@pytest.fixture(scope="session")
def servable(half_plus_two: Path):
    from model_server.loading.saved_model import SavedModel, SessionOptions

    model = SavedModel(half_plus_two, SessionOptions())
    yield model
    model.close()


@pytest.fixture(scope="session")
def serve(servable) -> Callable[..., PredictionService]:
    """A PredictionService of the model, with the options given."""
    return lambda **options: PredictionService(OneModel(servable), InferenceOptions(**options))


@pytest.fixture(scope="session")
def service(serve) -> PredictionService:
    return serve()


def fill(sent, *examples: dict[str, float], context: dict[str, float] | None = None) -> None:
    """Writes examples, each with one float of each feature, into an Input."""
    if context is not None:
        _fill_example(sent.example_list_with_context.context, context)
    kind = sent.example_list if context is None else sent.example_list_with_context
    for example in examples:
        _fill_example(kind.examples.add(), example)


def _fill_example(message, features: dict[str, float]) -> None:
    for name, value in features.items():
        message.features.feature[name].float_list.value.append(value)


def refused(method: Callable, request) -> tuple[str, str]:
    """The code and the text of the error that a request gets."""
    with pytest.raises(RequestError) as caught:
        method(request)
    return caught.value.code.name, str(caught.value)
