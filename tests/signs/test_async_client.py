"""What is true of `AsyncClient` alone; the tests of the client ask both."""

import asyncio
import contextlib
import json
import time
from concurrent import futures

import grpc
import numpy as np
import pytest

from signs import AsyncClient, ClientError, features, protos, tensors
from tests.served import CLASSES, GREEN, RED
from tests.signs.test_client import Servant
from tests.signs.transports.test_rest_transport import Servant as RestServant


def answered(number: int) -> protos.PredictResponse:
    response = protos.PredictResponse()
    for name, array in (
        (features.PROBABILITIES, np.ones((number, 1), np.float32)),
        (features.CLASSES, np.full((number, 1), b"only", object)),
        (features.PREDICTED_CLASS_ID, np.zeros(number, np.int64)),
        (features.PREDICTED_CLASS_NAME, np.full(number, b"only", object)),
    ):
        tensors.encode(array, response.outputs[name])
    return response


@pytest.mark.parametrize("at_most", [1, 2])
def test_requests_are_in_flight_together(at_most):
    """Two meet at the server, if two may; their answers come in the order of the images."""
    meeting, most = asyncio.Event(), 0

    async def predict(request, context):
        nonlocal most
        waiting.append(request)
        most = max(most, len(waiting))
        if len(waiting) == 2:
            meeting.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(meeting.wait(), 0.2 if at_most == 1 else 20)
        waiting.remove(request)
        return answered(1)

    waiting: list = []

    async def main() -> list[str]:
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(
            predict, protos.PredictRequest.FromString, protos.PredictResponse.SerializeToString
        )
        name = "tensorflow.serving.PredictionService"
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, {"Predict": handler})]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with AsyncClient(f"127.0.0.1:{port}", batch_size=1) as client:
            predictions = await client.predict([RED] * 4, max_in_flight=at_most)
        await server.stop(None)
        return [prediction.source for prediction in predictions]

    assert asyncio.run(main()) == [f"input {i}" for i in range(4)]
    assert most == at_most


def test_one_client_for_many_callers(server):
    async def main() -> list[str]:
        async with AsyncClient(server.address) as client:
            answers = await asyncio.gather(*(client.predict([RED, GREEN]) for _ in range(3)))
        return [prediction.class_name for answer in answers for prediction in answer]

    assert asyncio.run(main()) == [*CLASSES[:2]] * 3


def test_the_loop_goes_on_while_rest_waits():
    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            status = asyncio.ensure_future(client.status())
            await asyncio.sleep(0)
            assert not status.done()
            await status

    with RestServant(body=json.dumps({"model_version_status": []}), pause_s=0.2) as servant:
        asyncio.run(main(servant.address))


@pytest.mark.parametrize("images", [RED, [RED] * 3])
def test_a_caller_that_gives_up(images):
    async def main(address: str) -> float:
        async with AsyncClient(address, batch_size=1) as client:
            started = time.monotonic()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.predict(images), 0.2)
            return time.monotonic() - started

    release = futures.Future()

    def predict(request, context):
        release.result(30)
        return answered(1)

    with Servant(predict) as servant:
        assert asyncio.run(main(servant.address)) < 5
        release.set_result(None)


def test_it_may_be_made_before_there_is_a_loop(server):
    client = AsyncClient(server.address)

    async def main() -> int:
        async with client:
            return await client.wait_until_available(30)

    assert asyncio.run(main()) == 3


def test_numbers_that_make_no_sense(server):
    async def main() -> None:
        async with AsyncClient(server.address) as client:
            await client.predict(RED, max_in_flight=0)

    with pytest.raises(ClientError, match="`max_in_flight` must be positive"):
        asyncio.run(main())
    with pytest.raises(ClientError, match="`timeout_s` must be positive"):
        AsyncClient("h:1", timeout_s=0)
