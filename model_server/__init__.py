"""The embedded model server: TF Serving's contract in Python, for one machine.

    command  -> flags, options
             -> server -> grpc_api --+-> services: prediction_service -> inference (-> on_examples)
                       -> rest ------+             model_service       |
                       -> page                           |             | lease of a Servable
                       -> configs -----------------> versions: models -> model_store
                                                                           | loads through
                                          loading: saved_model -> batching -> warm_up

Flags and files are checked, and the port is tried, before TensorFlow is imported: that starts at
`loading`. `access` says who may ask: certificates, tokens, names. `servable` is the seam between
what loads and what answers, `errors` says what a request can fail with, `metrics` counts,
`request_log` keeps a sample.

The pipeline knows two names: `ServerProcess`, a server in a process of its own, and `main`, the
command. They are imported when they are asked for, so that `import model_server` costs nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model_server.command import main
    from model_server.process import ServerProcess

__all__ = ["ServerProcess", "main"]


def __getattr__(name: str) -> object:
    if name == "ServerProcess":
        from model_server.process import ServerProcess

        return ServerProcess
    if name == "main":
        from model_server.command import main

        return main
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
