"""KFP's API server as far as `signs submit` asks it: v2beta1 over HTTP on a loopback port.

It answers kfp's real client, and is as strict as the real one: a path, a query or a field that is
not in KFP's API (fields: the generated models of kfp-server-api; paths: backend/api/v2beta1/*.proto
and backend/src/apiserver/main.go) is refused and remembered in `violations`, which tests assert to
be empty.
"""

import contextlib
import email
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api

MODELS = {
    "experiments": kfp_server_api.V2beta1Experiment,
    "pipelines": kfp_server_api.V2beta1Pipeline,
    "runs": kfp_server_api.V2beta1Run,
    "recurringruns": kfp_server_api.V2beta1RecurringRun,
}
_IDS = {
    "experiments": "experiment_id",
    "pipelines": "pipeline_id",
    "runs": "run_id",
    "recurringruns": "recurring_run_id",
}
_LISTS = {**{kind: kind for kind in MODELS}, "recurringruns": "recurringRuns"}
_LIST_QUERY = {"namespace", "page_token", "page_size", "sort_by", "filter"}


class Refused(Exception):  # noqa: N818 - what the server answers, no mistake of its own
    def __init__(self, status: int, body: Any, content_type: str = "application/json") -> None:
        self.status, self.body, self.content_type = status, body, content_type


def refusal(status: int, code: int, internal: str, external: str = "") -> Refused:
    """An error as gRPC gateway sends one of `UserError` (backend/src/common/util/error.go)."""
    details = [
        {"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": external}
    ]
    return Refused(
        status, {"code": code, "message": internal, "details": details if external else []}
    )


@dataclass
class FakeApiServer:
    """The server and all it holds. `runs_look_like` is what looks at a run see, one after another.

    A look may also be a `Refused`, or a function to be called with the server.
    """

    token: str | None = None
    multi_user: bool = False
    prefix: str = ""
    runs_look_like: list[Any] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    tasks: list[Any] = field(default_factory=list)  # of a run, as KFP without ML Metadata tells
    workflow: Any = None  # that Argo makes of a run; None: the server does not tell it
    faults: list[tuple[str, Refused]] = field(default_factory=list)  # "METHOD path-regex", answer
    held: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {kind: {} for kind in [*MODELS, "versions"]}
    )
    requests: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    is_down: bool = False

    def __enter__(self) -> "FakeApiServer":
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_down = True
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{self.prefix}"

    def only(self, kind: str) -> dict[str, Any]:
        (one,) = self.held[kind].values()
        return one


class _Handler(BaseHTTPRequestHandler):
    fake: FakeApiServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix(self.fake.prefix)
        self.fake.requests.append(f"{method} {path}")
        self.fake.tokens.append(self.headers.get("authorization"))
        try:
            self._check(method, path)
            status, body, kind = 200, self._route(method, path), "application/json"
        except Refused as err:
            status, body, kind = err.status, err.body, err.content_type
        except Exception as err:  # a mistake of the test's own
            self.fake.violations.append(f"{method} {path}: {err!r}")
            status, body, kind = 500, {"message": repr(err)}, "application/json"
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        if self.fake.is_down:
            self.send_header("connection", "close")
        with contextlib.suppress(ConnectionError):  # who asked may have gone
            self.end_headers()
            self.wfile.write(data)

    def _check(self, method: str, path: str) -> None:
        if not urlsplit(self.path).path.startswith(self.fake.prefix) or "//" in path:
            raise self._violation(f"{method} {self.path}: no such path")
        for index, (pattern, answer) in enumerate(self.fake.faults):
            if re.fullmatch(pattern, f"{method} {path}"):
                del self.fake.faults[index]
                raise answer
        wanted = self.fake.token and f"Bearer {self.fake.token}"
        if wanted and self.headers.get("authorization") != wanted:
            raise refusal(401, 16, "Unauthenticated", "Request header error: there is no token")

    def _violation(self, words: str) -> Refused:
        self.fake.violations.append(words)
        return Refused(404, {"code": 5, "message": "Not Found", "details": []})

    def _route(self, method: str, path: str) -> Any:
        match method, path.removeprefix("/apis/v2beta1/").split("/"):
            case "GET", ["healthz"]:
                return {"commit_sha": "c", "tag_name": "2.17.0", "multi_user": self.fake.multi_user}
            case "POST", ["pipelines", "upload_version"]:
                return self._upload()
            case "GET", ["pipelines", pipeline_id, "versions"]:
                self._only_query(_LIST_QUERY - {"namespace"})
                return self._page("versions", "pipeline_versions", pipeline_id=pipeline_id)
            case "GET", ["runs", run_id, "tasks"]:
                self._only_query(_LIST_QUERY)
                if not self.fake.tasks:
                    raise Refused(404, {"code": 5, "message": "Not Found", "details": []})
                return {"tasks": self.fake.tasks, "total_size": len(self.fake.tasks)}
            case "GET", ["runs", run_id]:
                return self._look(run_id)
            case "GET", ["", "apis", "v1beta1", "runs", run_id]:
                if run_id not in self.fake.held["runs"] or self.fake.workflow is None:
                    raise Refused(404, {"error_message": "Not found"})
                manifest = json.dumps(self.fake.workflow)
                return {"run": {}, "pipeline_runtime": {"workflow_manifest": manifest}}
            case "GET", ["", "apis", "v1alpha1", "runs", run_id, "nodes", pod, "log"]:
                if run_id not in self.fake.held["runs"] or pod not in self.fake.logs:
                    raise Refused(500, {"error_message": "Failed to read logs"})
                return self.fake.logs[pod]
            case "GET", [kind] if kind in MODELS:
                self._only_query(_LIST_QUERY | ({"experiment_id"} if "run" in kind else set()))
                only = {key: self.query[key] for key in ("experiment_id",) if key in self.query}
                return self._page(kind, _LISTS[kind], **only)
            case "POST", [kind] if kind in MODELS:
                return self._create(kind)
            case "DELETE", ["recurringruns", one]:
                if self.fake.held["recurringruns"].pop(one, None) is None:
                    raise refusal(404, 5, "not found", "The recurring run is gone")
                return {}
        raise self._violation(f"{method} {self.path}: no such path")

    def _only_query(self, known: set[str]) -> None:
        if unknown := set(self.query) - known:
            raise self._violation(f"{self.path}: unknown in the query: {sorted(unknown)}")

    def _page(self, kind: str, name: str, **equal: str) -> dict[str, Any]:
        among: dict[str, list[str]] = {}
        if "filter" in self.query:
            spec = json.loads(self.query["filter"])
            assert list(spec) == ["predicates"], spec
            for predicate in spec["predicates"]:
                if predicate["operation"] in (8, "IN"):
                    assert set(predicate) == {"key", "operation", "stringValues"}, predicate
                    among[predicate["key"]] = predicate["stringValues"]["values"]
                    continue
                assert set(predicate) == {"key", "operation", "stringValue"}, predicate
                assert predicate["operation"] in (1, "EQUALS"), predicate
                equal[predicate["key"]] = predicate["stringValue"]
        if self.fake.multi_user and kind in ("experiments", "pipelines"):
            equal["namespace"] = self.query.get("namespace", "")
        found = [
            each
            for each in self.fake.held[kind].values()
            if all(each.get(key, "") == value for key, value in equal.items())
            and all(each.get(key, "") in values for key, values in among.items())
        ]
        # protojson leaves out what is empty.
        return {name: found, "total_size": len(found)} if found else {}

    def _create(self, kind: str) -> dict[str, Any]:
        sent = json.loads(self.body)
        _strictly(sent, MODELS[kind])
        assert sent.get("display_name"), f"{kind} without a name"
        if kind == "experiments" and self.fake.multi_user and not sent.get("namespace"):
            raise refusal(400, 3, "", "An experiment cannot have an empty namespace")
        made = {**sent, _IDS[kind]: str(uuid.uuid4()), "created_at": "2026-11-23T08:00:00Z"}
        if kind == "pipelines":
            assert "name" not in sent, "older servers know no such field"
            made["name"] = sent["display_name"]
        if kind in ("runs", "recurringruns"):
            reference = sent["pipeline_version_reference"]
            assert reference["pipeline_version_id"] in self.fake.held["versions"], reference
            assert reference["pipeline_id"] in self.fake.held["pipelines"], reference
            assert sent["experiment_id"] in self.fake.held["experiments"], sent
            assert "parameters" in sent["runtime_config"], sent
        if kind == "recurringruns":
            assert 1 <= int(sent["max_concurrency"]) <= 10, sent
            made["status"] = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[sent["mode"]]
            for periodic in filter(None, [made["trigger"].get("periodic_schedule")]):
                periodic["interval_second"] = str(periodic["interval_second"])  # int64 in JSON
        if kind == "runs":
            made["state"] = "PENDING"
        self.fake.held[kind][made[_IDS[kind]]] = made
        return made

    def _upload(self) -> dict[str, Any]:
        self._only_query({"name", "display_name", "pipelineid", "description"})
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        (part,) = email.message_from_bytes(head + self.body).get_payload()
        disposition = part["content-disposition"]
        assert 'name="uploadfile"' in disposition, disposition
        assert disposition.rstrip('"').endswith(".yaml"), disposition
        assert self.query["pipelineid"] in self.fake.held["pipelines"], self.query
        self.fake.uploads.append(part.get_payload(decode=True))
        made = {
            "pipeline_id": self.query["pipelineid"],
            "pipeline_version_id": str(uuid.uuid4()),
            "display_name": self.query["name"],
            "name": self.query["name"],
        }
        self.fake.held["versions"][made["pipeline_version_id"]] = made
        return made

    def _look(self, run_id: str) -> dict[str, Any]:
        if run_id not in self.fake.held["runs"]:
            raise refusal(404, 5, f"run {run_id} not found", f"Run {run_id} not found")
        looks = self.fake.runs_look_like
        look = (looks.pop(0) if len(looks) > 1 else looks[0]) if looks else {}
        if callable(look):
            look = look(self.fake)
        if isinstance(look, Refused):
            raise look
        return {**self.fake.held["runs"][run_id], **look}


def _strictly(sent: Mapping[str, Any], model: type) -> None:
    """Refuses a field that KFP's API does not have, as `DiscardUnknown: false` does there."""
    types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    for name, value in sent.items():
        if name not in types:
            raise Refused(400, {"code": 3, "message": f'unknown field "{name}"', "details": []})
        if isinstance(value, dict) and hasattr(kfp_server_api, types[name]):
            _strictly(value, getattr(kfp_server_api, types[name]))


def run(state: str, *nodes: Sequence[Mapping[str, Any]], **fields: Any) -> dict[str, Any]:
    """A look at a run whose workflow has these nodes."""
    cached = {"task_id": "c", "state": "RUNTIME_STATE_UNSPECIFIED"}  # what the driver's cache keeps
    return {
        "state": state,
        "run_details": {"task_details": [cached, *(node for group in nodes for node in group)]},
        **fields,
    }


def step(
    name: str, state: str | None = "SUCCEEDED", *, driver: str = "SUCCEEDED", attempts: int = 1
) -> list[dict[str, Any]]:
    """What KFP tells of the nodes of a step: the driver, the step and its executors.

    Args:
        name: the step's id.
        state: of the step's own node; None where it has none yet.
        driver: state of its driver.
        attempts: how many pods ran it; 0 where it came out of the cache.
    """
    nodes = [_node(f"{name}-driver", driver, [f".root.{name}"])]
    if state is None:
        return nodes
    tries = [f".root.{name}.executor({index})" for index in range(attempts)]
    return [
        *nodes,
        _node(name, state, [f".root.{name}.executor"]),
        _node("executor", state if attempts else "SKIPPED", tries),
        # A pod's children are the steps that follow.
        *(_node(f"executor({index})", state, [".root.Next-driver"]) for index in range(attempts)),
    ]


def run_with_defaults(
    state: str, *nodes: Sequence[Mapping[str, Any]], **fields: Any
) -> dict[str, Any]:
    """A look at a run where the installation gives every template retries, as KFP 2.17 does."""
    above = [
        _node(WORKFLOW, state, ["(0)"]),
        _node(f"{WORKFLOW}(0)", state, ["(0).root-driver"]),
        _node("root", state, ["(0).root(0)"]),
        _node("root(0)", state, ["(0).root(0).Gen-driver"]),
    ]
    return run(state, above, *nodes, **fields)


def step_with_defaults(
    name: str,
    state: str | None = "SUCCEEDED",
    *,
    driver: str = "SUCCEEDED",
    drivers: int = 1,
    attempts: int = 1,
) -> list[dict[str, Any]]:
    """The nodes of a step there: each has its attempts below it. See `step`."""
    top = f"(0).root(0).{name}"
    again = [f"{top}-driver({index})" for index in range(drivers)]
    nodes = [_node(f"{name}-driver", driver, again)]
    nodes += [_node(f"{name}-driver({index})", driver, [top]) for index in range(drivers)]
    if state is None:
        return nodes
    tries = [f"{top}(0).executor({index})" for index in range(attempts)]
    return [
        *nodes,
        _node(name, state, [f"{top}(0)"]),
        _node(f"{name}(0)", state, [f"{top}(0).executor"]),
        _node("executor", state if attempts else "SKIPPED", tries),
        *(_node(f"executor({index})", state) for index in range(attempts)),
    ]


def _node(name: str, state: str, children: Sequence[str] = ()) -> dict[str, Any]:
    over = state not in ("PENDING", "RUNNING")
    return {
        "display_name": name,  # and neither an id nor a pod
        "state": state,
        "start_time": "2026-11-23T08:00:00Z",
        "end_time": "2026-11-23T08:00:42Z" if over else "0001-01-01T00:00:00Z",  # Go's zero time
        "child_tasks": [{"pod_name": NODE_IDS.get(child, f"{WORKFLOW}-1")} for child in children],
    }


WORKFLOW = "signs-x7k2p"
# By the name without the workflow's, as Argo's own `Workflow.NodeID` gives them (test_retries.py).
NODE_IDS = {
    ".root.Trainer": "signs-x7k2p-3969784749",
    ".root.Trainer.executor": "signs-x7k2p-2389114072",
    ".root.Trainer.executor(0)": "signs-x7k2p-1674538155",
    ".root.Trainer.executor(1)": "signs-x7k2p-2278679534",
    "(0)": "signs-x7k2p-3246815067",
    "(0).root-driver": "signs-x7k2p-1658220036",
    "(0).root(0)": "signs-x7k2p-1901809662",
    "(0).root(0).Trainer": "signs-x7k2p-1686650709",
    "(0).root(0).Trainer-driver(0)": "signs-x7k2p-1160447029",
    "(0).root(0).Trainer-driver(1)": "signs-x7k2p-3106797928",
    "(0).root(0).Trainer(0)": "signs-x7k2p-1343500724",
    "(0).root(0).Trainer(0).executor": "signs-x7k2p-730613943",
    "(0).root(0).Trainer(0).executor(0)": "signs-x7k2p-3778127018",
    "(0).root(0).Trainer(0).executor(1)": "signs-x7k2p-2100218023",
}


def after(seconds: float, then: Mapping[str, Any]) -> Callable[[FakeApiServer], Mapping[str, Any]]:
    """A look that takes a while."""

    def look(_: FakeApiServer) -> Mapping[str, Any]:
        time.sleep(seconds)
        return then

    return look
