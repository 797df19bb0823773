"""One REST request, whatever it came by: route and body -> status and JSON.

The order of checks is that of TF Serving's `http_rest_api_handler.cc`: the JSON before the model,
the model before its signature, the signature before the tensors.
"""

import logging
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc

from model_server.admission import weight
from model_server.admission.budget import Budget
from model_server.errors import InvalidArgumentError, RequestError
from model_server.inference import specs
from model_server.rest.bodies import json_reader, json_writer, proto_json
from model_server.rest.bodies.example_json import fill_examples
from model_server.rest.bodies.json_reader import JsonObject, shown
from model_server.rest.bodies.predict_json import fill_inputs
from model_server.rest.paths import Route
from model_server.services.model_service import ModelService
from model_server.services.prediction_service import PredictionService
from signs import protos

log = logging.getLogger(__name__)

# A gzip body may grow to this (`gzip_zlib.h`): a small one could fill the memory otherwise.
_MAX_INFLATED_BYTES = 100 * 2**20
_MAX_RATIO = 1032  # of deflate


@dataclass(frozen=True)
class Reply:
    """An answer: its gRPC status, which the HTTP status follows from, and its body."""

    code: grpc.StatusCode
    body: bytes


class RunDeadline:
    """When the model must have answered: the time allowed begins when the model is asked.

    Args:
        timeout_s: seconds, or None for no limit.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self.at: float | None = None  # in seconds of time.monotonic; None before the model is asked

    def start(self) -> float | None:
        """The model is asked now: returns the deadline."""
        if self._timeout_s is not None:
            self.at = time.monotonic() + self._timeout_s
        return self.at


class RestApi:
    """Answers requests by the two services.

    Args:
        predictions: the PredictionService.
        statuses: the ModelService.
        budget: the memory for bodies.
    """

    def __init__(
        self,
        predictions: PredictionService,
        statuses: ModelService,
        budget: Budget | None = None,
    ) -> None:
        self._predictions = predictions
        self._statuses = statuses
        self._budget = budget or Budget()
        self._posts = {
            "predict": self._predict,
            "classify": self._classify,
            "regress": self._regress,
        }

    def post(self, route: Route, body: bytes, gzipped: bool, deadline: RunDeadline) -> Reply:
        """Runs a model.

        Args:
            route: a route to "predict", "classify" or "regress".
            body: the body as sent.
            gzipped: whether it was sent as gzip; what is no valid gzip counts as empty.
            deadline: is started when the model is asked.
        """

        def answer() -> bytes:
            plain = self._inflated(body) if gzipped else body
            with self._budget.taken(weight.of_json(plain)):
                document = json_reader.read(plain)
                return self._posts[route.action](route, document, deadline)

        return _reply(answer)

    def get(self, route: Route) -> Reply:
        """Tells status or metadata."""
        return _reply(
            lambda: self._metadata(route) if route.action == "metadata" else self._status(route)
        )

    def _inflated(self, body: bytes) -> bytes:
        with self._budget.taken(min(_MAX_RATIO * len(body), _MAX_INFLATED_BYTES)):
            return _inflate(body)

    def _predict(self, route: Route, document: JsonObject, deadline: RunDeadline) -> bytes:
        request = protos.PredictRequest(model_spec=_model_spec(route, document))
        wanted = self._inputs(request.model_spec)
        in_rows = fill_inputs(document, wanted, request)
        response = self._predictions.predict(request, deadline.start())
        write = json_writer.predictions if in_rows else json_writer.outputs
        return write(response.outputs)

    def _classify(self, route: Route, document: JsonObject, deadline: RunDeadline) -> bytes:
        request = protos.ClassificationRequest(model_spec=_model_spec(route, document))
        fill_examples(document, request)
        response = self._predictions.classify(request, deadline.start())
        return json_writer.classifications(response.result)

    def _regress(self, route: Route, document: JsonObject, deadline: RunDeadline) -> bytes:
        request = protos.RegressionRequest(model_spec=_model_spec(route, document))
        fill_examples(document, request)
        response = self._predictions.regress(request, deadline.start())
        return json_writer.regressions(response.result)

    def _status(self, route: Route) -> bytes:
        request = protos.GetModelStatusRequest(model_spec=_model_spec(route))
        return proto_json.status_body(self._statuses.get_model_status(request))

    def _metadata(self, route: Route) -> bytes:
        request = protos.GetModelMetadataRequest(
            model_spec=_model_spec(route), metadata_field=["signature_def"]
        )
        return proto_json.metadata_body(self._predictions.get_model_metadata(request))

    def _inputs(self, spec: protos.ModelSpec) -> Mapping[str, protos.TensorInfo]:
        """The TensorInfo of each input of a signature.

        Raises:
            RequestError: there is no such model or signature, or it has no inputs.
        """
        request = protos.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.CopyFrom(spec)
        response = self._predictions.get_model_metadata(request)
        signatures = protos.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        key = specs.signature_key(spec)
        if key not in signatures.signature_def:
            raise InvalidArgumentError(
                f'Serving signature name: "{key}" not found in signature def'
            )
        inputs = dict(signatures.signature_def[key].inputs)
        if not inputs:
            raise InvalidArgumentError(
                f"Failed to get input map for signature: {spec.signature_name or 'DEFAULT'}"
            )
        return inputs


def _reply(answer: Callable[[], bytes]) -> Reply:
    try:
        return Reply(grpc.StatusCode.OK, answer())
    except RequestError as error:
        return Reply(error.code, json_writer.error_body(str(error)))
    except Exception:
        log.exception("A request failed for a reason that is not the caller's")
        text = "Internal error; the server's log says more"
        return Reply(grpc.StatusCode.INTERNAL, json_writer.error_body(text))


def _model_spec(route: Route, document: JsonObject | None = None) -> protos.ModelSpec:
    """The ModelSpec of a request.

    Raises:
        InvalidArgumentError: the path names no model, or the body's signature is no string.
    """
    if not route.model:
        raise InvalidArgumentError("Missing model name in request.")
    spec = protos.ModelSpec(name=route.model)
    if route.version is not None:
        spec.version.value = route.version
    if route.label:
        spec.version_label = route.label
    signature = document.get("signature_name", "") if document else ""
    if not isinstance(signature, str):
        raise InvalidArgumentError(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key "
            "must be a string value."
        )
    spec.signature_name = signature
    return spec


def _inflate(body: bytes) -> bytes:
    """What a gzip body holds; nothing if it is not exactly one whole gzip member, or too large."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        inflated = inflater.decompress(body, _MAX_INFLATED_BYTES + 1)
    except zlib.error:
        return b""
    whole = inflater.eof and not inflater.unused_data
    return inflated if whole and len(inflated) <= _MAX_INFLATED_BYTES else b""
