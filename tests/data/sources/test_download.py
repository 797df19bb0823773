import hashlib
import http.server
import re
import threading

import pytest

from data import IngestError
from data.sources.download import download

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; breaks off after `cut` bytes where that is set, and knows ranges."""

    cut: int | None = None
    ranges = True
    requests: list[str | None] = []  # noqa: RUF012 - reset by the fixture

    def do_GET(self):
        wanted = self.headers.get("Range")
        Handler.requests.append(wanted)
        if self.path != "/signs.zip":
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : self.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def url():
    Handler.cut, Handler.ranges, Handler.requests = None, True, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/signs.zip"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_download_then_cached(tmp_path, url):
    seen = []
    path = download(tmp_path, lambda *args: seen.append(args), url=url, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert download(tmp_path, url=url, sha256=SHA256) == path
    assert len(Handler.requests) == 1


def test_a_broken_download_continues(tmp_path, url):
    Handler.cut = 300_000
    with pytest.raises(IngestError, match="the next try continues") as caught:
        download(tmp_path, url=url, sha256=SHA256)
    assert url in str(caught.value)
    assert not (tmp_path / "signs.zip").exists()
    Handler.cut = None
    assert download(tmp_path, url=url, sha256=SHA256).read_bytes() == CONTENT
    assert Handler.requests == [None, "bytes=300000-"]


def test_a_server_without_ranges_starts_again(tmp_path, url):
    Handler.ranges = False
    (tmp_path / "signs.part").write_bytes(b"old")
    assert download(tmp_path, url=url, sha256=SHA256).read_bytes() == CONTENT


def test_a_finished_part_needs_no_more_bytes(tmp_path, url):
    (tmp_path / "signs.part").write_bytes(CONTENT)
    assert download(tmp_path, url=url, sha256=SHA256).read_bytes() == CONTENT


def test_something_else_is_refused_and_removed(tmp_path, url):
    with pytest.raises(IngestError, match="is not the SIGNS archive: SHA-256"):
        download(tmp_path, url=url, sha256="0" * 64)
    assert not list(tmp_path.glob("signs.[zp]*"))


def test_no_such_page_and_no_network(tmp_path, url):
    with pytest.raises(IngestError, match="cannot download SIGNS: Not Found"):
        download(tmp_path, url=url.replace("signs.zip", "other.zip"), sha256=SHA256)
    with pytest.raises(IngestError, match=r"Download it by hand from .* and give its path"):
        download(tmp_path, url="http://127.0.0.1:9/signs.zip", sha256=SHA256)
