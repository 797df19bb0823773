"""The names by which clients call: those of tensorflow_serving/apis/*_service.proto."""

from model_server.metrics import Metrics
from model_server.services.model_service import ModelService
from model_server.services.prediction_service import PredictionService
from model_server.services.rpcs import rpcs
from model_server.versions.models import Models


def test_every_rpc_with_the_class_of_its_requests():
    models = Models(lambda name, path: None)
    bound = rpcs(PredictionService(models), ModelService(models, Metrics()))
    assert {
        f"{service}/{rpc}": request_type.DESCRIPTOR.full_name.removeprefix("tensorflow.serving.")
        for service, methods in bound.items()
        for rpc, (_, request_type) in methods.items()
    } == {
        "tensorflow.serving.PredictionService/Predict": "PredictRequest",
        "tensorflow.serving.PredictionService/Classify": "ClassificationRequest",
        "tensorflow.serving.PredictionService/Regress": "RegressionRequest",
        "tensorflow.serving.PredictionService/MultiInference": "MultiInferenceRequest",
        "tensorflow.serving.PredictionService/GetModelMetadata": "GetModelMetadataRequest",
        "tensorflow.serving.ModelService/GetModelStatus": "GetModelStatusRequest",
        "tensorflow.serving.ModelService/HandleReloadConfigRequest": "ReloadConfigRequest",
    }
