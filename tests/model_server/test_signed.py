"""A server with a key: what is not signed, or altered, never takes the place of what is."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from model_server import ServerProcess
from signs import protos
from signs.client import Client
from tests.served import RED
from trust.keys import make_keys
from trust.signature import sign

WAIT_S = 60.0


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_only_what_the_key_has_signed_is_served(tmp_path, push):
    base, aside = tmp_path / "signs", tmp_path / "aside"
    private, public = make_keys(tmp_path / "keys")

    def signed(version: int, change: Callable[[Path], object] = lambda path: None) -> None:
        """A version appears whole, with what was changed after it was signed."""
        folder = push(aside, version)
        sign(folder, private)
        change(folder)
        base.mkdir(exist_ok=True)
        folder.rename(base / str(version))

    signed(1)
    with (
        ServerProcess(base, flags=[f"--model_signing_key={public}"]) as server,
        grpc.insecure_channel(server.address) as channel,
        Client(server.address) as client,
    ):
        stub = protos.ModelServiceStub(channel)

        def status(version: int) -> tuple[str, str]:
            request = protos.GetModelStatusRequest(model_spec={"name": "signs"})
            for one in stub.GetModelStatus(request, timeout=WAIT_S).model_version_status:
                if one.version == version:
                    name = protos.ModelVersionStatus.State.Name(one.state)
                    return name, one.status.error_message
            return "", ""

        for version, change, why in (
            (2, lambda folder: (folder / "model.sig").unlink(), "it has no model.sig"),
            (3, lambda folder: os.truncate(folder / "saved_model.pb", 999), "altered: saved_model"),
            (4, lambda folder: (folder / ".git").touch(), "extra: .git"),
        ):
            signed(version, change)
            eventually(lambda version=version: status(version)[0] == "END")
            assert status(version)[1].startswith(
                f"--model_signing_key: {base / str(version)} is not "
            )
            assert why in status(version)[1]
            assert f"version: {version}}} failed: FAILED_PRECONDITION" in server.log()
            assert client.metadata().version == 1
            [answer] = client.predict(RED)
            assert answer.class_name == "red"
        signed(5)
        eventually(lambda: status(5)[0] == "AVAILABLE")
        # What becomes of the folder of a version that is loaded changes nothing.
        (base / "5" / "model.sig").unlink()
        assert client.metadata().version == 5
