"""Which request lines ask for what."""

import pytest

from model_server.rest.paths import Route, parse


@pytest.mark.parametrize(
    ("line", "route"),
    [
        ("POST /v1/models/m:predict", Route("predict", "m")),
        ("POST /v1/models/m:classify", Route("classify", "m")),
        ("POST /v1/models/m:regress", Route("regress", "m")),
        ("POST /V1/Models/m:predict", Route("predict", "m")),
        ("POST /v1/models/m/versions/0123:predict", Route("predict", "m", 123)),
        ("POST /v1/models/m/labels/stable:predict", Route("predict", "m", None, "stable")),
        ("POST /v1/models/a%2Fb%20+:predict", Route("predict", "a/b +")),
        ("POST /v1/models/m?x=1:predict", Route("predict", "m?x=1")),
        ("POST /v1/models/m:PREDICT", Route("", "m")),
        ("GET /v1/models/m", Route("status", "m")),
        ("GET /v1/models/%6D", Route("status", "m")),
        ("GET /v1/models/m/metadata", Route("metadata", "m")),
        ("GET /v1/models/m/METADATA", Route("status", "m")),
        ("GET /v1/models/m/versions/7", Route("status", "m", 7)),
        ("GET /v1/models/m/versions/7/metadata", Route("metadata", "m", 7)),
        ("GET /v1/models/m/labels/a%20b", Route("status", "m", None, "a b")),
        ("GET /v1/models/m/labels/l?x", Route("status", "m", None, "l?x")),
        ("GET /v1/models/m?a=b", Route("status", "m?a=b")),
        ("GET /v1/models", Route("status")),
        ("GET /v1/models/versions/1", Route("status", "", 1)),
        ("GET /v1/models/versions/1/metadata", Route("metadata", "", 1)),
        ("GET /v1/models/labels/x", Route("status", "", None, "x")),
        ("GET /v1/models/metadata", Route("status", "metadata")),
        ("GET /v1/models/metadata/metadata", Route("metadata", "metadata")),
        ("GET /v1/models/versions", Route("status", "versions")),
        ("GET /v1/models/labels/metadata", Route("metadata", "labels")),
        ("GET /v1/models/m/versions/18446744073709551615", Route("status", "m", 2**64 - 1)),
        ("GET /v1/models/m/versions/" + "9" * 9999, Route("status", "m", 10**20 - 1)),
        ("GET /v1/models/m/versions/" + "0" * 9999, Route("status", "m", 0)),
    ],
)
def test_routes(line, route):
    assert parse(*line.split(" ")) == route


@pytest.mark.parametrize(
    "line",
    [
        "GET /v1/",
        "GET /v1/foo",
        "GET /v1/models/",
        "GET /v1/models/m/",
        "GET /v1/models?x=1",
        "GET /v1/models/m/metadata?x=1",
        "GET /v1/models/m/versions/1?x",
        "GET /v1/models/debug/model_name",
        "GET /v1/models/foo:predict",
        "GET /v1/models/foo/version/50:predict",
        "GET /v1/models/foo/versions/1/labels/l",
        "POST /v1/foo",
        "POST /v1/models",
        "POST /v1/models/m",
        "POST /v1/models/m:predict?a=b",
        "POST /v1/models/m:predict/",
        "POST /v1/models/m:other",
        "POST /v1/models/foo/version/50:regress",
        "POST /v1/models/foo/versions/HELLO:regress",
        "POST /v1/models/foo/metadata",
        "POST /v1/models/foo/label/l:regress",
        "POST /v1/models/foo/versions/50/labels/l:regress",
        "PUT /v1/models/m",
        "DELETE /v1/models/m",
        "PATCH /v1/models/m",
        "HEAD /v1/models/m",
    ],
)
def test_malformed(line):
    assert parse(*line.split(" ")) == Route()
