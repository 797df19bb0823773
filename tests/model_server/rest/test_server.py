"""The app behind a socket: what a connection sees."""

import gzip
import http.client
import json
import socket
import threading
import time

import pytest
import urllib3

from model_server.rest.app import RestOptions, make_app
from model_server.rest.server import RestServer

PREDICT = "/v1/models/m:predict"
BODY = b'{"instances":[1]}'
ANSWER = b'{\n    "predictions": [2.5\n    ]\n}'


def start(core, **options):
    app = make_app(core.predictions, core.statuses, RestOptions(**options), core.metrics)
    server = RestServer(app, "127.0.0.1", 0, 4)
    server.start()
    return server


@pytest.fixture(scope="module")
def server(core):
    server = start(core)
    yield server
    assert server.stop(5)


@pytest.fixture
def connection(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    yield connection
    connection.close()


def exchange(server, request):
    """Sends raw bytes; everything that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        raw.sendall(request)
        answer = b""
        while part := raw.recv(65536):
            answer += part
        return answer


def test_headers(connection):
    connection.request("POST", PREDICT, BODY)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, ANSWER)
    headers = {name.lower(): value for name, value in answer.getheaders()}
    headers.pop("date")
    assert headers == {"content-type": "application/json", "content-length": str(len(ANSWER))}


def test_a_connection_serves_many_requests(connection):
    connection.connect()
    first = connection.sock
    for body, status in [(BODY, 200), (b"x", 400), (BODY, 200)]:
        connection.request("POST", PREDICT, body)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    assert connection.sock is first


def test_small_answers_do_not_wait_for_acknowledgements(connection):
    waits = []
    for _ in range(60):
        started = time.monotonic()
        connection.request("POST", PREDICT, BODY)
        connection.getresponse().read()
        waits.append(time.monotonic() - started)
    assert min(waits[-20:]) < 0.03  # the first packets are acknowledged at once anyway


def test_connection_close(server):
    request = b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
    answer = exchange(server, request % (PREDICT.encode(), len(BODY), BODY))
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert answer.endswith(ANSWER)


def test_error_pages_close_the_connection(server):
    answer = exchange(server, b"GET /foo HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert answer.endswith(
        b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n"
        b"</BODY></HTML>\n"
    )


def test_of_headers_of_one_name_the_first_counts(server):
    request = b"OPTIONS /v1/models/m HTTP/1.1\r\nConnection: close\r\n%s\r\n\r\n"
    site, other = b"Origin: http://x", b"Origin: x"
    assert exchange(server, request % b"\r\n".join([site, other])).startswith(b"HTTP/1.1 200 ")
    assert exchange(server, request % b"\r\n".join([other, site])).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "request_line", [b"TRACE /v1/models/m HTTP/1.1", b"GET http://x/v1/models/m HTTP/1.1"]
)
def test_request_lines(server, request_line):
    answer = exchange(server, request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    status = b"501" if request_line.startswith(b"TRACE") else b"200"
    assert answer.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"FOO /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n",
        b"get /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/models/m:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_what_is_no_http_is_refused(server, request_bytes):
    assert exchange(server, request_bytes) == (
        b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/html\r\nconnection: close\r\n"
        b"content-length: 94\r\n\r\n<HTML><HEAD>\n<TITLE>400 Bad Request</TITLE>\n</HEAD><BODY>\n"
        b"<H1>Bad Request</H1>\n</BODY></HTML>\n"
    )


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_an_offer_to_change_the_protocol_is_not_taken(server, protocol):
    offer = b"Connection: Upgrade\r\nUPGRADE: " + protocol
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n%s\r\n\r\n"
    requests = [head % (PREDICT.encode(), line) + BODY for line in (offer, b"Connection: close")]
    answers = exchange(server, b"".join(requests))
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == answers.count(ANSWER) == 2


def test_chunks(connection):
    connection.request("POST", PREDICT, iter([BODY[:5], BODY[5:]]), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert connection.getresponse().read() == ANSWER


def test_expect_100_continue(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        head = f"POST {PREDICT} HTTP/1.1\r\nContent-Length: {len(BODY)}\r\nExpect: 100-continue"
        raw.sendall(head.encode() + b"\r\n\r\n")
        assert raw.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(BODY)
        assert raw.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_http_1_0(server):
    request = f"POST {PREDICT} HTTP/1.0\r\nContent-Length: {len(BODY)}\r\n\r\n"
    assert exchange(server, request.encode() + BODY).endswith(ANSWER)


def test_gzip(connection):
    connection.request("POST", PREDICT, gzip.compress(BODY), {"Content-Encoding": "gzip"})
    assert connection.getresponse().read() == ANSWER


def test_20_mb(connection):
    text = b"x" * 20_000_000
    connection.request("POST", PREDICT, b'{"signature_name":"echo_string","inputs":"%s"}' % text)
    assert connection.getresponse().read() == b'{\n    "outputs": "%s"\n}' % text


def test_many_numbers(connection):
    rows = 50_000
    body = b'{"inputs":[' + b"[1, 2.25, -3e-3]," * rows + b"[1,2,3]]}"
    connection.request("POST", PREDICT, body)
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read().count(b"3.125") == rows


def test_pipelined_requests_are_answered_in_order(server):
    request = b"GET /v1/models/m HTTP/1.1\r\n\r\nGET /v1/models/nosuch HTTP/1.1\r\n\r\n"
    last = b"GET /v1/ HTTP/1.1\r\nConnection: close\r\n\r\n"
    answer = exchange(server, request + last)
    statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404", b"400"]


def test_a_client_that_leaves_harms_nobody(server, core, connection):
    core.servable.may_end.clear()
    body = b'{"signature_name":"wait","instances":[1]}'
    for sent in (body, body[:-5]):  # while the model runs, and before all was said
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        raw.sendall(f"POST {PREDICT} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        raw.sendall(sent)
        time.sleep(0.05)
        raw.close()
    connection.request("POST", PREDICT, BODY)
    assert connection.getresponse().read() == ANSWER
    core.servable.may_end.set()


def test_many_clients(server):
    pool = urllib3.HTTPConnectionPool("127.0.0.1", server.port, maxsize=16, timeout=30)
    wrong = []

    def ask(client):
        for request in range(20):
            number = client * 100 + request
            answer = pool.request("POST", PREDICT, body=json.dumps({"instances": [number]}))
            if answer.json() != {"predictions": [number / 2 + 2]}:
                wrong.append(answer.data)

    threads = [threading.Thread(target=ask, args=[client]) for client in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_stop_lets_requests_finish(core):
    server = start(core)
    core.servable.may_end.clear()
    answers = []

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("POST", PREDICT, b'{"signature_name":"wait","instances":[1]}')
        answers.append(connection.getresponse().read())

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    threading.Timer(0.5, core.servable.may_end.set).start()
    assert server.stop(10)
    asking.join()
    assert answers == [b'{\n    "predictions": [1.0\n    ]\n}']
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)


def test_stop_does_not_wait_for_ever(core):
    server = start(core)
    core.servable.may_end.clear()
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    body = b'{"signature_name":"wait","instances":[1]}'
    raw.sendall(f"POST {PREDICT} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    time.sleep(0.3)
    started = time.monotonic()
    assert not server.stop(0.5)
    assert time.monotonic() - started < 8
    assert raw.recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    core.servable.may_end.set()
    raw.close()


def test_a_taken_port(server, core):
    app = make_app(core.predictions, core.statuses, RestOptions(), core.metrics)
    with pytest.raises(OSError, match="in use"):
        RestServer(app, "127.0.0.1", server.port, 1).start()
