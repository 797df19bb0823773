"""Pictures that cannot be decoded, in the batches of good ones: a real model, asked over gRPC."""

from concurrent import futures

import grpc
import numpy as np
import pytest
from google.protobuf import text_format

from model_server.batching.batched_model import BatchedModel
from model_server.batching.queues import BatchingPool
from model_server.configs.protos import BatchingParameters
from model_server.inference import predict
from model_server.loading.saved_model import SavedModel, SessionOptions
from model_server.metrics import Metrics
from model_server.servable import Lease
from signs import features, protos, tensors
from tests.model_server.grpc_api.echo import WAIT_S, calling, serving
from tests.served import BLUE, CLASSES, GREEN, RED

# Nothing but full batches run: two of eight requests, and each has bad ones.
PARAMETERS = "max_batch_size { value: 8 } batch_timeout_micros { value: 30000000 }"
WRONG = {3: b"no picture", 4: b"", 7: RED[:40], 11: b"GIF89a"}
PER_BATCH = 8


@pytest.fixture(scope="module")
def metrics():
    return Metrics()


@pytest.fixture(scope="module")
def ask(saved_model, metrics):
    """Asks for the name of a picture's class, with the batches of who else asks."""
    pool = BatchingPool(2)
    parameters = text_format.Parse(PARAMETERS, BatchingParameters())
    model = BatchedModel(SavedModel(saved_model, SessionOptions()), parameters, pool, metrics)

    def answer(request, deadline=None):
        return predict.answer(request, Lease(1, model), deadline=deadline)

    with serving(answer, grpc_max_threads=32) as running, calling(running.address) as call:

        def ask_for(picture: bytes) -> str:
            request = protos.PredictRequest(
                model_spec={"name": "signs", "signature_name": features.SERVE_IMAGES}
            )
            pictures = np.array([picture], object)
            tensors.encode(pictures, request.inputs[features.IMAGES_INPUT])
            try:
                response = call(request, timeout=WAIT_S)
            except grpc.RpcError as error:
                return f"{error.code().name}: {error.details()}"
            (name,) = tensors.decode(response.outputs[features.PREDICTED_CLASS_NAME])
            return name.decode()

        yield ask_for
    assert pool.close(WAIT_S)
    model.close()


def test_each_gets_its_own_answer_or_its_own_error(ask, metrics):
    good = [RED, GREEN, BLUE]
    pictures = [WRONG.get(number, good[number % 3]) for number in range(2 * PER_BATCH)]
    with futures.ThreadPoolExecutor(len(pictures)) as clients:
        answers = list(clients.map(ask, pictures))
    for number, answer in enumerate(answers):
        if number in WRONG:
            assert answer.startswith("INVALID_ARGUMENT: "), answer
        else:
            assert answer == CLASSES[number % 3]
    # The most that two batches of eight come to is 15 runs each.
    assert 2 < metrics.value("/tensorflow/serving/batching_session/wrapped_run_count") <= 30
