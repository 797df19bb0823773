from pathlib import Path

import kfp
import pytest

from kubeflow.submitting.api import connect
from kubeflow.submitting.api_errors import ApiError, explained
from kubeflow.submitting.connection import Connection
from tests.kubeflow.submitting.fake_api_server import FakeApiServer, Refused, refusal


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            refusal(401, 16, "Unauthenticated: long", "Request header error: no user identity"),
            "{host} wants a valid token (401): Request header error: no user identity: "
            "give --token-file",
        ),
        (
            refusal(403, 7, "PermissionDenied: long", "User 'me' is not authorized"),
            "the token's owner may not do that (403): User 'me' is not authorized",
        ),
        (Refused(404, "", "text/plain"), "{host} has no KFP API v2 (404): is --host right?"),
        (refusal(404, 5, "run not found"), "the server says 404 Not Found: run not found"),
        (refusal(409, 6, "AlreadyExists"), "the name is taken (409): AlreadyExists"),
        (
            refusal(400, 3, "Failed to create: InvalidInputError: a\nb", "unknown template format"),
            "the server says 400 Bad Request: unknown template format",
        ),
        (
            Refused(400, {"error_message": "Failed to read pipeline", "error_details": "stack"}),
            "the server says 400 Bad Request: Failed to read pipeline",
        ),
        (
            Refused(503, "<html>upstream</html>", "text/html"),
            "the server says 503 Service Unavailable: a web page",
        ),
        (
            Refused(502, "upstream connect error\nor reset", "text/plain"),
            "the server says 502 Bad Gateway: upstream connect error or reset",
        ),
    ],
)
def test_refusals_in_words(
    answer: Refused, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with FakeApiServer() as server:
        connection = Connection(server.address)
        client = connect(connection)
        server.faults.append(("GET /apis/v2beta1/healthz", answer))
        with pytest.raises(ApiError) as caught, explained("do it", connection):
            client.get_kfp_healthz()
    assert str(caught.value) == "cannot do it: " + text.format(host=server.address)
    assert caught.value.status == answer.status
    assert caught.value.passing == (answer.status >= 500)
