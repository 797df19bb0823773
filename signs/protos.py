"""TF Serving's messages and stubs, without the five seconds that importing TensorFlow takes.

The generated modules of tensorflow-serving-api import `tensorflow.core...pb2`, plain protobuf code
that lies inside the TensorFlow package but needs nothing of it. While they load, an empty package
stands in for `tensorflow`, so that its `__init__` does not run; afterwards it is taken away again.
A later `import tensorflow` is whole, and its messages are the same classes as these, because the
protobuf runtime keeps one class for each message of its pool.

Import this module before starting threads that import TensorFlow, or after they have done so.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def _tensorflow_not_executed() -> Iterator[None]:
    """`tensorflow` is a bare package inside this context, unless it is imported already."""
    spec = None if "tensorflow" in sys.modules else importlib.util.find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        yield
        return
    stand_in = ModuleType("tensorflow")
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow"] = stand_in
    try:
        yield
    finally:
        for name in [n for n in sys.modules if n == "tensorflow" or n.startswith("tensorflow.")]:
            del sys.modules[name]


with _tensorflow_not_executed():
    from tensorflow.core.example import example_pb2, feature_pb2
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow.core.protobuf import meta_graph_pb2
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        input_pb2,
        model_management_pb2,
        model_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_log_pb2,
        prediction_service_pb2_grpc,
        regression_pb2,
    )
    from tensorflow_serving.config import model_server_config_pb2

TensorProto = tensor_pb2.TensorProto
DataType = types_pb2.DataType
TensorInfo = meta_graph_pb2.TensorInfo
SignatureDef = meta_graph_pb2.SignatureDef
Example = example_pb2.Example
Feature = feature_pb2.Feature
Input = input_pb2.Input
ModelSpec = model_pb2.ModelSpec
PredictRequest = predict_pb2.PredictRequest
PredictResponse = predict_pb2.PredictResponse
SignatureDefMap = get_model_metadata_pb2.SignatureDefMap
GetModelMetadataRequest = get_model_metadata_pb2.GetModelMetadataRequest
GetModelMetadataResponse = get_model_metadata_pb2.GetModelMetadataResponse
ModelVersionStatus = get_model_status_pb2.ModelVersionStatus
GetModelStatusRequest = get_model_status_pb2.GetModelStatusRequest
GetModelStatusResponse = get_model_status_pb2.GetModelStatusResponse
ClassificationRequest = classification_pb2.ClassificationRequest
Classifications = classification_pb2.Classifications
ClassificationResult = classification_pb2.ClassificationResult
ClassificationResponse = classification_pb2.ClassificationResponse
RegressionRequest = regression_pb2.RegressionRequest
RegressionResult = regression_pb2.RegressionResult
RegressionResponse = regression_pb2.RegressionResponse
InferenceTask = inference_pb2.InferenceTask
MultiInferenceRequest = inference_pb2.MultiInferenceRequest
MultiInferenceResponse = inference_pb2.MultiInferenceResponse
PredictionLog = prediction_log_pb2.PredictionLog
ModelConfig = model_server_config_pb2.ModelConfig
ModelServerConfig = model_server_config_pb2.ModelServerConfig
ModelType = model_server_config_pb2.ModelType
ReloadConfigRequest = model_management_pb2.ReloadConfigRequest
ReloadConfigResponse = model_management_pb2.ReloadConfigResponse
PredictionServiceStub = prediction_service_pb2_grpc.PredictionServiceStub
ModelServiceStub = model_service_pb2_grpc.ModelServiceStub
