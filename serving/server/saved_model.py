"""One loaded SavedModel: its signatures, and a graph to run on numpy arrays.

A TF 1 session runs the graph, as in TF Serving: inputs are fed by tensor name and only the outputs
asked for are computed; declared shapes are not checked, kernels check what they need. One call
costs a tenth of `tf.saved_model.load(...).signatures[...]` (28 us against 286 us for an addition),
and SavedModels of TF 1 and TF 2 load alike.
"""

import functools
import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from serving import tensors
from serving.server.errors import InvalidArgumentError, ModelError, status_code

# Every pair of what is fed and what is fetched has a pruned graph of its own; these many are kept.
_PLANS_KEPT = 64


@dataclass(frozen=True)
class SessionOptions:
    """How sessions run.

    Args:
        tags: the tags of the MetaGraph to load.
        intra_op_threads: threads within one operation; 0 lets TensorFlow choose.
        inter_op_threads: operations at the same time; 0 lets TensorFlow choose.
        gpu_memory_fraction: share of each GPU's memory to take; 0 takes what is needed as it grows,
            so that a server can run beside a training that holds the GPU.
    """

    tags: tuple[str, ...] = ("serve",)
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    gpu_memory_fraction: float = 0.0

    def config(self) -> Any:
        """The `tf.compat.v1.ConfigProto` of these options."""
        config = config_pb2.ConfigProto(
            intra_op_parallelism_threads=self.intra_op_threads,
            inter_op_parallelism_threads=self.inter_op_threads,
            allow_soft_placement=True,
        )
        if self.gpu_memory_fraction:
            config.gpu_options.per_process_gpu_memory_fraction = self.gpu_memory_fraction
        else:
            config.gpu_options.allow_growth = True
        return config


@dataclass(frozen=True)
class _Plan:
    """The graph between some tensors: the types to feed, in order, and the compiled call."""

    dtypes: tuple[tf.DType, ...]
    call: Callable[..., list[Any]]


class SavedModel:
    """A SavedModel that is loaded and ready; `close` frees it.

    Attributes:
        signature_defs: the `SignatureDef` of each signature, by name.
    """

    def __init__(self, path: Path, options: SessionOptions) -> None:
        """Loads the SavedModel in the folder `path`.

        Raises:
            ModelError: it cannot be loaded; the message is TensorFlow's.
        """
        # The loader's notes that TF 1 is deprecated are not the user's business.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=options.config())
        self._plan = functools.lru_cache(_PLANS_KEPT)(self._make_plan)
        try:
            with self._graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(
                    self._session, list(options.tags), str(path)
                )
            self.signature_defs: dict[str, Any] = dict(meta_graph.signature_def)
            # Pruned and optimised now: a new version takes over when its answers are cheap.
            for signature in self.signature_defs.values():
                feeds = [info.name for info in signature.inputs.values()]
                if feeds and all(feeds):
                    fetches = (signature.outputs[name].name for name in sorted(signature.outputs))
                    self._plan(tuple(sorted(feeds)), tuple(fetches))
        except Exception as error:
            self.close()
            raise _load_error(error, options.tags) from error

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        deadline: float | None = None,
    ) -> list[np.ndarray]:
        """Computes tensors of the graph.

        Args:
            feeds: an array of any shape for each tensor that is fed, by the tensor's name.
            fetches: names of the tensors to compute.
            deadline: when the caller stops waiting; a run that has begun is not broken off.

        Returns:
            One array for each name in `fetches`, in that order; strings as `bytes` objects.

        Raises:
            InvalidArgumentError: an array has another type than the tensor.
            ModelError: the graph failed; status and text are the kernel's.
        """
        try:
            names = tuple(sorted(feeds))
            plan = self._plan(names, tuple(fetches))
            arrays = [feeds[name] for name in names]
            for position, (array, dtype) in enumerate(zip(arrays, plan.dtypes, strict=True)):
                _check_dtype(position, array, dtype)
            return [_as_array(value) for value in plan.call(*arrays)]
        except tf.errors.OpError as error:
            raise ModelError(status_code(error.error_code), error.message) from error

    def close(self) -> None:
        """Frees the graph and its variables. No `run` may be in progress."""
        self._session.close()
        # Graph, session and plans refer to each other and would wait for a full collection.
        self._plan.cache_clear()
        del self._graph, self._session, self._plan
        gc.collect()

    def _make_plan(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> _Plan:
        self._check_fetches(fetches)
        try:
            dtypes = tuple(self._graph.get_tensor_by_name(feed).dtype.base_dtype for feed in feeds)
        except (KeyError, ValueError) as error:
            raise ModelError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        # Not public, but the one way to Session::MakeCallable: `Session.run` looks up every name
        # again, and casts what it is fed instead of refusing it.
        call = self._session._make_callable_from_options(
            config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        )
        return _Plan(dtypes, call)

    def _check_fetches(self, fetches: Sequence[str]) -> None:
        """Refuses operations without output, which MakeCallable takes and then fails on.

        "__saved_model_init_op" is such a signature, and every SavedModel of TF 2 has it.
        """
        for fetch in fetches:
            if ":" not in fetch and not self._graph.get_operation_by_name(fetch).outputs:
                name = f"{fetch}:0"
                raise InvalidArgumentError(
                    f"Tried to fetch data for '{name}', which produces no output. To run to a node "
                    f"but not fetch any data, pass '{name}' as an argument to the "
                    "'target_node_names' argument of the Session::Run API."
                )


def _check_dtype(position: int, array: np.ndarray, expected: tf.DType) -> None:
    provided = tensors.enum_of(array)
    if provided != expected.as_datatype_enum:
        raise InvalidArgumentError(
            f"Expects arg[{position}] to be {tensors.dtype_name(expected.as_datatype_enum)} but "
            f"{tensors.dtype_name(provided)} is provided"
        )


def _as_array(value: Any) -> np.ndarray:
    """A session returns scalars as Python or numpy scalars, one string as `bytes`."""
    if isinstance(value, bytes):
        array = np.empty((), object)
        array[()] = value
        return array
    return np.asarray(value)


def _load_error(error: Exception, tags: tuple[str, ...]) -> ModelError:
    if isinstance(error, ModelError):
        return error
    if isinstance(error, tf.errors.OpError):
        return ModelError(status_code(error.error_code), error.message)
    if isinstance(error, RuntimeError) and "associated with tags" in str(error):
        return ModelError(
            grpc.StatusCode.NOT_FOUND,
            f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }}. To "
            "inspect available tag-sets in the SavedModel, please use the SavedModel CLI: "
            "`saved_model_cli`",
        )
    if isinstance(error, OSError):
        return ModelError(grpc.StatusCode.DATA_LOSS, str(error))
    return ModelError(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")
