"""The app as an HTTP client sees it: methods, headers, timeouts, metrics."""

import asyncio
import time

import grpc
import pytest

from model_server.errors import ModelError
from model_server.metrics import Metrics
from model_server.rest import app as app_module
from model_server.rest.app import RestOptions, make_app
from signs import protos
from tests.model_server.rest.conftest import Client
from tests.model_server.rest.core import Core
from tests.model_server.rest.test_predict import error
from tests.model_server.stand_in import eventually

HTML = "<HTML><HEAD>\n<TITLE>{0} {1}</TITLE>\n</HEAD><BODY>\n<H1>{1}</H1>\n</BODY></HTML>\n"
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}
PATH = "/monitoring/prometheus/metrics"


@pytest.mark.parametrize(
    ("method", "target", "status", "phrase"),
    [
        ("GET", "/", 404, "Not Found"),
        ("GET", "/foo", 404, "Not Found"),
        ("GET", "/v1", 404, "Not Found"),
        ("GET", PATH, 404, "Not Found"),
        ("HEAD", "/foo", 404, "Not Found"),
        ("POST", "//v1/models/m:predict", 404, "Not Found"),
        ("OPTIONS", "/foo", 404, "Not Found"),
        ("TRACE", "/v1/models/m", 501, "Not Implemented"),
        ("CONNECT", "/v1/models/m", 501, "Not Implemented"),
        ("GET", "/v1/models/a%zz", 400, "Bad Request"),
        ("GET", "/v1/models/a[b", 400, "Bad Request"),
        ("GET", "/v1/models/a?b=%", 400, "Bad Request"),
        ("GET", '/v1/models/a"b', 400, "Bad Request"),
        ("GET", "/v1/models/\xe9", 400, "Bad Request"),
    ],
)
def test_errors_outside_the_api(client, method, target, status, phrase):
    answer = client.ask(method, target, "body")
    assert (answer.status, answer.body) == (status, HTML.format(status, phrase))
    assert answer.headers == {"content-type": "text/html", "connection": "close"}


def test_expectations_that_cannot_be_met(client):
    body = '{"instances":[1]}'
    assert client.post("m:predict", body, expect="100-Continue").status == 200
    answer = client.post("m:predict", body, expect="miracles")
    assert (answer.status, answer.body) == (417, HTML.format(417, "Expectation Failed"))


@pytest.mark.parametrize("padding", [84, 384, 1_000_000])
def test_too_large_bodies(core, runner, padding):
    app = make_app(core.predictions, core.statuses, RestOptions(max_body_bytes=100), core.metrics)
    client = Client(app, runner)
    assert client.post("m:predict", '{"instances":[1]}' + " " * 83).status == 200
    answer = client.post("m:predict", '{"instances":[1]}' + " " * padding)
    assert (answer.status, answer.body) == (413, HTML.format(413, "Request Entity Too Large"))


def test_bodies_that_have_no_room_together(core, runner):
    options = RestOptions(max_bodies_bytes=50)
    client = Client(make_app(core.predictions, core.statuses, options, core.metrics), runner)
    core.servable.may_end.clear()
    waiting = '{"signature_name":"wait","instances":[1]}'

    async def ask() -> tuple[int, int]:
        first = asyncio.ensure_future(client.asked("POST", "/v1/models/m:predict", waiting))
        await asyncio.sleep(0.1)
        second = await client.asked("POST", "/v1/models/m:predict", '{"instances":[1]}')
        core.servable.may_end.set()
        return (await first).status, second.status

    assert runner.run(ask()) == (200, 429)
    assert client.post("m:predict", '{"instances":[1]}').status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/json; charset=utf-8"])
def test_the_content_type_does_not_matter(client, content_type):
    assert client.post("m:predict", '{"instances":[1]}', content_type=content_type).status == 200


class Refusing:
    """A ModelService that fails in one way."""

    def __init__(self, code):
        self.code = code

    def get_model_status(self, request, deadline=None):
        raise ModelError(self.code, "no")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("CANCELLED", 499),
        ("UNKNOWN", 500),
        ("INVALID_ARGUMENT", 400),
        ("DEADLINE_EXCEEDED", 504),
        ("NOT_FOUND", 404),
        ("ALREADY_EXISTS", 409),
        ("PERMISSION_DENIED", 403),
        ("RESOURCE_EXHAUSTED", 429),
        ("FAILED_PRECONDITION", 400),
        ("ABORTED", 409),
        ("OUT_OF_RANGE", 400),
        ("UNIMPLEMENTED", 501),
        ("INTERNAL", 500),
        ("UNAVAILABLE", 503),
        ("DATA_LOSS", 500),
        ("UNAUTHENTICATED", 401),
    ],
)
def test_statuses(core, runner, code, status):
    statuses = Refusing(grpc.StatusCode[code])
    app = make_app(core.predictions, statuses, RestOptions(), core.metrics)
    answer = Client(app, runner).ask("GET", "/v1/models/m")
    assert (answer.status, answer.body) == (status, error("no"))


def test_readiness(tmp_path, runner):
    """As probes ask for it: the metadata is there while a version answers, the status always."""
    core = Core(tmp_path)
    try:
        client = Client(
            make_app(core.predictions, core.statuses, RestOptions(), core.metrics), runner
        )
        ready, status = "/v1/models/m/metadata", "/v1/models/m"
        assert core.models.is_available("m") is True
        assert core.models.is_available("no") is None
        assert (client.ask("GET", ready).status, client.ask("GET", status).status) == (200, 200)
        config = protos.ModelServerConfig()
        config.model_config_list.SetInParent()
        core.models.reconfigure(config)
        eventually(lambda: core.models.is_available("m") is False)
        assert client.ask("GET", ready).status == 404
        told = client.ask("GET", status)
        assert (told.status, '"END"' in told.body) == (200, True)
    finally:
        core.close()


# --- CORS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://x"}, 200),
        ({"origin": "https://x"}, 200),
        ({"origin": "x https://x"}, 200),
        ({"origin": "HTTP://x"}, 400),
        ({"origin": "foo"}, 400),
        ({}, 400),
    ],
)
@pytest.mark.parametrize("cors", [False, True])
def test_options(make_client, headers, status, cors):
    for target in ("/v1/models/m:predict", "/v1/", "/v1/models/nosuch?x"):
        answer = make_client(cors=cors).ask("OPTIONS", target, **headers)
        assert (answer.status, answer.body) == (status, "")
        assert answer.headers == {
            "content-type": "text/html; charset=ISO-8859-1",
            **(CORS if cors else {}),
        }


def test_cors_headers_are_sent_with_every_answer_of_the_api(make_client):
    client = make_client(cors=True, metrics_path=PATH)
    with_cors = {"content-type": "application/json", **CORS}
    for method, target, status in [
        ("GET", "/v1/models/m", 200),
        ("GET", "/v1/models/nosuch", 404),
        ("PUT", "/v1/models/m", 400),
        ("POST", "/v1/models/m:predict", 400),
    ]:
        answer = client.ask(method, target)
        assert (answer.status, answer.headers) == (status, with_cors)
    assert client.ask("GET", PATH).headers == {"content-type": "text/plain"}
    assert not CORS.keys() & client.ask("GET", "/foo").headers.keys()


# --- The page of other paths ----------------------------------------------------------------------


def test_a_page_answers_what_is_not_the_api(make_client):
    async def page(scope, receive, send):
        text = f"page of {scope['path']}".encode()
        length = (b"content-length", str(len(text)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": text})

    client = make_client(page, metrics_path=PATH)
    assert client.ask("GET", "/").body == "page of /"
    assert client.ask("GET", "/v1").body == "page of /v1"
    assert client.ask("GET", "/a[b").status == 400
    assert client.ask("TRACE", "/").status == 501
    assert client.ask("GET", "/v1/models/m").headers == {"content-type": "application/json"}
    assert client.ask("GET", PATH).headers == {"content-type": "text/plain"}


# --- Metrics --------------------------------------------------------------------------------------


def count(core, model, status):
    line = f':tensorflow:serving:request_count{{model_name="{model}",status="{status}"}} '
    lines = core.metrics.render().decode().splitlines()
    return next((int(found.split()[-1]) for found in lines if found.startswith(line)), 0)


@pytest.mark.parametrize(
    ("method", "target", "model", "status"),
    [
        ("POST", "/v1/models/m:predict", "m", "OK"),
        ("POST", "/v1/models/nosuch:predict", "nosuch", "NOT_FOUND"),
        ("POST", "/v1/models/a%22b%5C:predict", r"a\"b\\", "NOT_FOUND"),
        ("POST", "/v1/models/m:PREDICT", "m", "INVALID_ARGUMENT"),
        ("POST", "/v1/models/m/versions/99999999999999999999:predict", "m", "INVALID_ARGUMENT"),
        ("POST", "/v1/foo", "", "INVALID_ARGUMENT"),
        ("PUT", "/v1/models/m", "", "INVALID_ARGUMENT"),
        ("GET", "/v1/models/m", "m", "OK"),
        ("GET", "/v1/models/m/metadata", "m", "OK"),
        ("OPTIONS", "/v1/models/m", "", "FAILED_PRECONDITION"),
    ],
)
def test_every_request_to_the_api_is_counted(core, client, method, target, model, status):
    before = count(core, model, status)
    client.ask(method, target, '{"instances":[1]}')
    assert count(core, model, status) == before + 1


def test_other_requests_are_not_counted(core, make_client):
    client = make_client(metrics_path=PATH)
    before = core.metrics.render()
    for target in ("/foo", "/v1", PATH, "/v1/models/a%zz"):
        client.ask("GET", target)
    assert core.metrics.render() == before


@pytest.mark.parametrize(
    ("method", "target", "api"),
    [
        ("POST", "/v1/models/m:predict", "predict"),
        ("GET", "/v1/models/m", ""),
        ("GET", "/v1/models/m/metadata", ""),
    ],
)
def test_the_latency_of_success_is_measured(core, runner, method, target, api):
    metrics = Metrics()
    client = Client(make_app(core.predictions, core.statuses, RestOptions(), metrics), runner)
    client.ask(method, target, '{"instances":[1]}')
    client.ask(method, target.replace("/m", "/nosuch"), '{"instances":[1]}')
    page = metrics.render().decode()
    labels = f'{{model_name="m",API="{api}",entrypoint="REST"}}'
    assert f":tensorflow:serving:request_latency_count{labels} 1\n" in page
    assert page.count(":tensorflow:serving:request_latency_count") == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_the_metrics_page(core, make_client, method):
    answer = make_client(metrics_path="/v1/metrics").ask(method, "/v1/metrics")
    assert (answer.status, answer.headers) == (200, {"content-type": "text/plain"})
    assert answer.body == core.metrics.render().decode()


def test_the_metrics_page_takes_no_query(make_client):
    client = make_client(metrics_path=PATH)
    answer = client.ask("GET", f"{PATH}?a=1")
    assert (answer.status, answer.headers) == (400, {"content-type": "text/plain"})
    assert answer.body == f"Unexpected path: {PATH}?a=1. Should be {PATH}"
    assert client.ask("GET", f"{PATH}/").status == 404


# --- Time -----------------------------------------------------------------------------------------


def test_a_model_that_does_not_answer_in_time_is_left_behind(core, make_client, monkeypatch):
    monkeypatch.setattr(app_module, "_GRACE_S", 0.1)
    core.servable.may_end.clear()
    client = make_client(timeout_s=0.1)
    started = time.monotonic()
    answer = client.post("m:predict", '{"signature_name":"wait","instances":[1]}')
    took = time.monotonic() - started
    assert (answer.status, answer.body) == (504, error("Timed out waiting for notification"))
    assert 0.2 <= took < 5
    assert client.ask("GET", "/v1/models/m").status == 200
    core.servable.may_end.set()


def test_status_is_told_while_all_threads_are_busy(core, make_client, runner):
    core.servable.may_end.clear()
    client = make_client()
    body = '{"signature_name":"wait","instances":[1]}'

    async def ask_many():
        runs = [
            asyncio.create_task(client.asked("POST", "/v1/models/m:predict", body))
            for _ in range(50)
        ]
        await asyncio.sleep(0.1)
        status = await asyncio.wait_for(client.asked("GET", "/v1/models/m"), 5)
        core.servable.may_end.set()
        return status, await asyncio.gather(*runs)

    status, answers = runner.run(ask_many())
    assert status.status == 200
    assert {answer.status for answer in answers} == {200}


def test_the_time_allowed_begins_with_the_run(core, make_client, monkeypatch):
    # A body that takes longer to read than the model may take to answer.
    monkeypatch.setattr(app_module, "_GRACE_S", 0.0)
    body = '{"signature_name":"echo_double","inputs":[' + "[1.5]," * 200_000 + "[1.5]]}"
    broken = make_client(timeout_s=0.001).post("m:predict", body[:-1] + ",")
    assert broken.status == 400
