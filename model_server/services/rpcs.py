"""Which method of the services answers which RPC, and the class of its requests."""

from model_server.grpc_api.rpc import Services
from model_server.services.model_service import ModelService
from model_server.services.prediction_service import PredictionService
from signs import protos


def rpcs(prediction: PredictionService, model: ModelService) -> Services:
    """By the services' full names, as gRPC knows them."""
    return {
        "tensorflow.serving.PredictionService": {
            "Predict": (prediction.predict, protos.PredictRequest),
            "Classify": (prediction.classify, protos.ClassificationRequest),
            "Regress": (prediction.regress, protos.RegressionRequest),
            "MultiInference": (prediction.multi_inference, protos.MultiInferenceRequest),
            "GetModelMetadata": (prediction.get_model_metadata, protos.GetModelMetadataRequest),
        },
        "tensorflow.serving.ModelService": {
            "GetModelStatus": (model.get_model_status, protos.GetModelStatusRequest),
            "HandleReloadConfigRequest": (model.handle_reload_config, protos.ReloadConfigRequest),
        },
    }
