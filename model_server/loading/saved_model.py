"""One loaded SavedModel: its signatures, and a graph to run on numpy arrays.

A TF 1 session runs the graph, as in TF Serving: inputs are fed by tensor name and only the outputs
asked for are computed; declared shapes are not checked, kernels check what they need. One call
costs a quarter of `tf.saved_model.load(...).signatures[...]` (70 us against 290 us for an
addition), and SavedModels of TF 1 and TF 2 load alike.
"""

import contextlib
import functools
import gc
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.saved_model.loader_impl import SavedModelLoader

from model_server import tracing
from model_server.errors import (
    InvalidArgumentError,
    ModelError,
    NotFoundError,
    RequestError,
    UnimplementedError,
    status_code,
)
from model_server.loading import operations, serialized
from model_server.metrics import Metrics
from signs import protos

_TENSORS_KEPT = 1024  # looking one up takes longer than a small model's run
_LONGEST_TIMEOUT_MS = 2**31 - 1


@dataclass(frozen=True)
class SessionOptions:
    """How sessions run.

    Args:
        tags: the tags of the MetaGraph to load.
        intra_op_threads: threads within one operation; 0 lets TensorFlow choose.
        inter_op_threads: operations at the same time; 0 lets TensorFlow choose.
        gpu_memory_fraction: share of each GPU's memory to take; 0 takes what is needed as it grows,
            so that a server can run beside a training that holds the GPU.
        base: a `tf.compat.v1.ConfigProto` with what else is to be set; those above override it.
    """

    tags: tuple[str, ...] = ("serve",)
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    gpu_memory_fraction: float = 0.0
    base: config_pb2.ConfigProto | None = None

    def config(self) -> config_pb2.ConfigProto:
        """The `tf.compat.v1.ConfigProto` of these options."""
        config = config_pb2.ConfigProto(allow_soft_placement=True)
        if self.base is not None:
            config.MergeFrom(self.base)
        if self.intra_op_threads:
            config.intra_op_parallelism_threads = self.intra_op_threads
        if self.inter_op_threads:
            config.inter_op_parallelism_threads = self.inter_op_threads
        if self.gpu_memory_fraction:
            config.gpu_options.per_process_gpu_memory_fraction = self.gpu_memory_fraction
        else:
            config.gpu_options.allow_growth = True
        return config


class SavedModel:
    """A SavedModel that is loaded and ready; `close` frees it.

    Attributes:
        signature_defs: the `SignatureDef` of each signature, by name.
    """

    def __init__(
        self,
        path: Path,
        options: SessionOptions,
        metrics: Metrics | None = None,
        *,
        prepare: bool = True,
        allowed_operations: Collection[str] = (),
    ) -> None:
        """Loads the SavedModel in the folder `path`.

        Args:
            path: a version's folder.
            options: how its session runs.
            metrics: where the times of its runs go.
            prepare: whether TensorFlow optimises the graph of each signature now, or each at its
                first request: of ResNet50 a second a signature.
            allowed_operations: what its graph may run besides what computes.

        Raises:
            RequestError: it cannot be loaded; status and text are those of TF Serving's
                `session_bundle_util.cc`, or TensorFlow's.
        """
        _check_folder(path)
        # The loader's notes that TF 1 is deprecated are not the user's business.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        self._metrics = metrics
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=options.config())
        self._tensor = functools.lru_cache(_TENSORS_KEPT)(self._find_tensor)
        try:
            loader = SavedModelLoader(str(path))  # reads the file once for all that follows
            operations.check(loader.get_meta_graph_def_from_tags(options.tags), allowed_operations)
            with self._graph.as_default():
                meta_graph = loader.load(self._session, list(options.tags))
            self.signature_defs = {
                name: protos.SignatureDef.FromString(theirs.SerializeToString())
                for name, theirs in meta_graph.signature_def.items()
            }
            self._serialized = serialized.serialized_inputs(meta_graph)
            self._session._extend_graph()
            self._declared = _declared_plans(self.signature_defs)
            for feeds, fetches in self._declared if prepare else ():
                self._prepare(feeds, fetches)
        except Exception as error:
            self.close()
            if isinstance(error, RequestError):
                raise
            raise _load_error(error, path, options.tags) from error

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        deadline: float | None = None,
    ) -> list[np.ndarray]:
        """Computes tensors of the graph.

        Args:
            feeds: an array of any shape for each tensor that is fed, by the tensor's name.
            fetches: names of the tensors to compute; one may be named twice.
            deadline: when to break off, in seconds of `time.monotonic`.

        Returns:
            One array for each name in `fetches`, in that order; strings as `bytes` objects.

        Raises:
            RequestError: an array has another type than the tensor, the graph failed, or the time
                was over; status and text are TensorFlow's.
        """
        serialized.check(feeds, self._serialized)
        computed = sorted(self._widened(frozenset(feeds), frozenset(fetches)))
        started = time.perf_counter()
        try:
            with tracing.part("run"):
                values = self._run_session(feeds, computed, deadline)
        except tf.errors.OpError as error:
            raise ModelError(status_code(error.error_code), error.message) from error
        except UnicodeDecodeError as error:
            # A kernel quotes the bytes it was fed ("Could not parse example input, value: ...").
            raise InvalidArgumentError(error.object.decode(errors="replace")) from error
        if self._metrics is not None:
            self._metrics.graph_ran(time.perf_counter() - started)
        arrays = dict(zip(computed, values, strict=True))
        return [_as_array(arrays[name]) for name in fetches]

    def close(self) -> None:
        """Frees the graph and its variables. No `run` may be in progress."""
        self._session.close()
        # Graph and session refer to each other and would wait for a full collection.
        del self._graph, self._session, self._tensor
        gc.collect()

    def _run_session(
        self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], deadline: float | None
    ) -> list[np.ndarray | np.generic | bytes]:
        """`Session.run` itself looks up every name again and casts what it is fed; this does not.

        It is not public, but what `Session.run` comes to. Names go sorted, because TensorFlow
        remembers a plan under every order in which it was asked for.
        """
        inputs = {self._tensor(name): feeds[name] for name in sorted(feeds)}
        outputs = [self._tensor(name) for name in fetches]
        options = pywrap_tf_session.TF_NewBufferFromString(_run_options(deadline))
        try:
            return pywrap_tf_session.TF_SessionRun_wrapper(
                self._session._session, options, inputs, outputs, [], None
            )
        finally:
            pywrap_tf_session.TF_DeleteBuffer(options)

    def _find_tensor(self, name: str) -> pywrap_tf_session.TF_Output:
        operation_name, _, index = name.partition(":")
        try:
            operation = self._graph.get_operation_by_name(operation_name)
        except (KeyError, ValueError) as error:
            raise InvalidArgumentError(
                f"Tensor {name}, specified in either feed_devices or fetch_devices was not found "
                "in the Graph"
            ) from error
        # "__saved_model_init_op" is such a signature, and every SavedModel of TF 2 has it.
        if not operation.outputs:
            raise InvalidArgumentError(
                f"Tried to fetch data for '{operation_name}:0', which produces no output. To run "
                f"to a node but not fetch any data, pass '{operation_name}:0' as an argument to "
                "the 'target_node_names' argument of the Session::Run API."
            )
        return operation._tf_output(int(index or 0))

    def _widened(self, feeds: frozenset[str], fetches: frozenset[str]) -> frozenset[str]:
        """What to compute: all outputs of the signature that has `fetches`.

        TensorFlow keeps a plan of each choice of outputs. Of a frozen model a plan has the weights
        once more: a caller who filters the outputs of ResNet50 in all ways would take 100 MiB and
        two seconds for each.
        """
        declared = [outputs for inputs, outputs in self._declared if inputs == feeds]
        return min((all_ for all_ in declared if fetches <= all_), key=len, default=None) or (
            fetches.union(*declared)
        )

    def _prepare(self, feeds: frozenset[str], fetches: frozenset[str]) -> None:
        """Has TensorFlow prune and optimise a graph now: the first answer shall be cheap.

        A run that is refused for the types it feeds has done just that, and nothing else.
        """
        # What else is wrong with a signature is told to those who ask for it.
        with contextlib.suppress(tf.errors.OpError, InvalidArgumentError, LookupError):
            wrong_types = {
                name: np.empty(0, np.float32 if self._is_string(name) else object) for name in feeds
            }
            self._run_session(wrong_types, sorted(fetches), None)

    def _is_string(self, name: str) -> bool:
        operation, _, index = name.partition(":")
        outputs = self._graph.get_operation_by_name(operation).outputs
        return outputs[int(index or 0)].dtype.base_dtype == tf.string


def _declared_plans(
    signature_defs: Mapping[str, protos.SignatureDef],
) -> list[tuple[frozenset[str], frozenset[str]]]:
    """What each signature feeds and fetches; one that is encoded otherwise has no tensor names."""
    plans = []
    for signature in signature_defs.values():
        feeds = frozenset(info.name for info in signature.inputs.values())
        fetches = frozenset(info.name for info in signature.outputs.values())
        if feeds and fetches and all(feeds | fetches):
            plans.append((feeds, fetches))
    return plans


def _run_options(deadline: float | None) -> bytes:
    if deadline is None:
        return b""
    # 0 and less would mean for ever.
    remaining_ms = min(_LONGEST_TIMEOUT_MS, max(1, int((deadline - time.monotonic()) * 1000)))
    return config_pb2.RunOptions(timeout_in_ms=remaining_ms).SerializeToString()


def _as_array(value: np.ndarray | np.generic | bytes) -> np.ndarray:
    """A session returns scalars as Python or numpy scalars, one string as `bytes`."""
    if isinstance(value, bytes):
        array = np.empty((), object)
        array[()] = value
        return array
    return np.asarray(value)


def _check_folder(path: Path) -> None:
    if (path / "export.meta").exists():
        raise UnimplementedError("Session Bundle is deprecated and removed.")
    if not any((path / name).exists() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise NotFoundError(
            "Specified file path does not appear to contain a SavedModel bundle (should have a "
            f"file called `saved_model.pb`)\nSpecified file path: {path}"
        )


def _load_error(error: Exception, path: Path, tags: tuple[str, ...]) -> ModelError:
    # Python's sessions add where the node was defined to what the C++ session says; its importer
    # makes a ValueError of it.
    said = error.__context__ if isinstance(error.__context__, tf.errors.OpError) else error
    if isinstance(said, tf.errors.OpError):
        return ModelError(status_code(said.error_code), said.message)
    text = str(error)
    if isinstance(error, RuntimeError) and "associated with tags" in text:
        return ModelError(
            grpc.StatusCode.NOT_FOUND,
            f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }}. To "
            "inspect available tag-sets in the SavedModel, please use the SavedModel CLI: "
            "`saved_model_cli`",
        )
    if isinstance(error, OSError) and "Cannot parse" in text:
        name, kind = ("saved_model.pb", "binary")
        if not (path / name).exists():
            name, kind = ("saved_model.pbtxt", "text")
        return ModelError(grpc.StatusCode.DATA_LOSS, f"Can't parse {path / name} as {kind} proto")
    if isinstance(error, ValueError) and "not a valid checkpoint" in text:
        index = path / "variables" / "variables.index"
        return ModelError(grpc.StatusCode.NOT_FOUND, f"{index}; No such file or directory")
    return ModelError(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")
