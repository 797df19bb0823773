"""What happened, counted: TF Serving's metrics under its names, and its Prometheus page.

    gRPC, REST, inference, batching, loading -> Metrics -> render() -> the monitoring path

The page is that of TF Serving's `prometheus_exporter.cc`, byte for byte: names with colons, TYPE
lines also for metrics without values, no HELP lines, no `_total` suffix, no `_created` series and
six significant digits. prometheus_client writes none of these that way. Of TensorFlow's own
metrics, which the C++ server has on the same page, those that dashboards use are here.
"""

import itertools
import re
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# A client chooses the label "model_name". TF Serving keeps every name it was ever asked for.
_MAX_POINTS = 10_000
_MAX_LABEL_CHARS = 1_024

Labels = tuple[str, ...]


def _exponential(first: float, growth: float, number: int) -> tuple[float, ...]:
    """Upper bounds of buckets; the last bucket, for all that is larger, is not among them."""
    return tuple(itertools.accumulate([growth] * (number - 1), float.__mul__, initial=first))


_LATENCY_US = _exponential(10.0, 1.8, 33)
_QUEUEING_US = _exponential(100.0, 1.2, 52)
_ROWS = _exponential(1.0, 2.0, 14)
_EXAMPLES = _exponential(1.0, 2.0, 15)
_GRAPH_RUN_US = _exponential(1000.0, 2.0, 20)


@dataclass
class _Histogram:
    counts: list[int]
    total: float = 0.0


@dataclass
class _Metric:
    """One metric and its points, by label values; `bounds` makes it a histogram.

    `hidden` ones are not on the page before their first value. `kind` is told where it is neither
    a counter nor a histogram.
    """

    name: str
    labels: Labels = ()
    bounds: Sequence[float] = ()
    hidden: bool = False
    kind: str = ""
    counters: dict[Labels, int] = field(default_factory=dict)
    histograms: dict[Labels, _Histogram] = field(default_factory=dict)

    def add(self, value: float, *labels: str) -> None:
        labels = tuple(label[:_MAX_LABEL_CHARS] for label in labels)
        points = self.histograms if self.bounds else self.counters
        if labels not in points and len(points) >= _MAX_POINTS:
            return
        if not self.bounds:
            self.counters[labels] = self.counters.get(labels, 0) + int(value)
            return
        histogram = self.histograms.get(labels)
        if histogram is None:
            histogram = _Histogram([0] * (len(self.bounds) + 1))
            self.histograms[labels] = histogram
        # A value that equals a bound belongs to the next bucket.
        histogram.counts[bisect_right(self.bounds, value)] += 1
        histogram.total += value

    def lines(self) -> Iterator[str]:
        name = re.sub("[^a-zA-Z0-9_]", ":", self.name)
        yield f"# TYPE {name} {self.kind or ('histogram' if self.bounds else 'counter')}"
        for labels, value in sorted(self.counters.items()):
            yield f"{name}{{{self._label_text(labels)}}} {value}"
        for labels, histogram in sorted(self.histograms.items(), key=lambda item: item[0]):
            text = self._label_text(labels)
            comma = "," if text else ""
            count = 0
            for bound, more in itertools.zip_longest(self.bounds, histogram.counts):
                count += more
                upper = "+Inf" if bound is None else f"{bound:g}"
                yield f'{name}_bucket{{{text}{comma}le="{upper}"}} {count}'
            yield f"{name}_sum{{{text}}} {histogram.total:g}"
            yield f"{name}_count{{{text}}} {count}"

    def _label_text(self, values: Labels) -> str:
        escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
        return ",".join(
            f'{label}="{value}"' for label, value in zip(self.labels, escaped, strict=True)
        )


class Metrics:
    """All metrics of a server. Every method may be called from any thread, and takes microseconds.

    Durations are handed over in seconds; the metrics hold microseconds.
    """

    def __init__(self) -> None:
        serving, batching = "/tensorflow/serving", "/tensorflow/serving/batching_session"
        saved_model, core = "/tensorflow/cc/saved_model", "/tensorflow/core"
        per_request = ("model_name", "API", "entrypoint")
        self._request_count = _Metric(f"{serving}/request_count", ("model_name", "status"))
        self._request_latency = _Metric(f"{serving}/request_latency", per_request, _LATENCY_US)
        self._runtime_latency = _Metric(
            f"{serving}/runtime_latency", ("model_name", "API", "runtime"), _LATENCY_US
        )
        self._example_counts = _Metric(f"{serving}/request_example_counts", ("model",), _EXAMPLES)
        self._example_total = _Metric(f"{serving}/request_example_count_total", ("model",))
        self._warm_up_latency = _Metric(
            f"{serving}/model_warmup_latency", ("model_path", "status"), _LATENCY_US
        )
        self._warm_up_records = _Metric(
            f"{serving}/model_warmup_records_read", ("model_path", "status")
        )
        self._queueing = _Metric(f"{batching}/queuing_latency", ("thread_pool_name",), _QUEUEING_US)
        self._batches = _Metric(f"{batching}/wrapped_run_count")
        self._input_rows = _Metric(f"{batching}/input_batch_size", (), _ROWS, hidden=True)
        self._batch_rows = _Metric(f"{batching}/processed_batch_size", (), _ROWS, hidden=True)
        self._padding = _Metric(
            f"{batching}/padding_size", ("execution_batch_size",), _ROWS, hidden=True
        )
        self._load_attempts = _Metric(f"{saved_model}/load_attempt_count", ("model_path", "status"))
        self._load_latency = _Metric(f"{saved_model}/load_latency", ("model_path",))
        self._graph_runs = _Metric(f"{core}/graph_runs")
        self._graph_run_time = _Metric(f"{core}/graph_run_time_usecs")
        self._graph_run_times = _Metric(f"{core}/graph_run_time_usecs_histogram", (), _GRAPH_RUN_US)
        # TF Serving never gives these a value either, unless it is built with more than its flags.
        unused = [
            _Metric(f"{serving}/mlmd_map", ("model_name", "version"), kind="gauge"),
            _Metric(f"{serving}/request_log_count", ("model_name", "status_code")),
        ]
        metrics = [*vars(self).values(), *unused]
        self._by_name: dict[str, _Metric] = {
            metric.name: metric for metric in sorted(metrics, key=lambda m: m.name)
        }
        self._lock = threading.Lock()

    def request_ended(self, model: str, status: str) -> None:
        """A request is answered.

        Args:
            model: the name the request asked for, whether there is such a model or not.
            status: the name of its gRPC status, as in "NOT_FOUND".
        """
        with self._lock:
            self._request_count.add(1, model, status)

    def request_latency(self, model: str, api: str, entrypoint: str, seconds: float) -> None:
        """A request succeeded.

        Args:
            model: the model's name.
            api: "Predict", "Classify" or "Regress" by gRPC; "predict", "classify", "regress" or ""
                by REST.
            entrypoint: "GRPC" or "REST".
            seconds: from the request being read to its answer being composed.
        """
        with self._lock:
            self._request_latency.add(seconds * 1e6, model, api, entrypoint)

    def runtime_latency(self, model: str, api: str, seconds: float) -> None:
        """A model ran for "Predict", "Classify" or "Regress", whatever the request came by."""
        with self._lock:
            self._runtime_latency.add(seconds * 1e6, model, api, "TF1")

    def examples(self, model: str, count: int) -> None:
        """MultiInference ran on `count` examples."""
        with self._lock:
            self._example_counts.add(count, model)
            self._example_total.add(count, model)

    def model_loaded(self, path: str, ok: bool, seconds: float) -> None:
        """Loading the SavedModel in the version folder `path` succeeded or failed."""
        with self._lock:
            self._load_attempts.add(1, path, "success" if ok else "fail")
            self._load_latency.add(seconds * 1e6, path)

    def warmed_up(self, path: str, status: str, seconds: float, records: int) -> None:
        """The version in folder `path` was warmed up.

        Args:
            path: the version's folder.
            status: "OK", or the code and text of what ended it.
            seconds: how long it took.
            records: how many requests were replayed.
        """
        with self._lock:
            self._warm_up_latency.add(seconds * 1e6, path, status)
            self._warm_up_records.add(records, path, status)

    def graph_ran(self, seconds: float) -> None:
        """TensorFlow ran a graph."""
        with self._lock:
            self._graph_runs.add(1)
            self._graph_run_time.add(seconds * 1e6)
            self._graph_run_times.add(seconds * 1e6)

    def batch_input(self, rows: int) -> None:
        """An input tensor of a request with `rows` rows came to be batched."""
        with self._lock:
            self._input_rows.add(rows)

    def batch_task_taken(self, seconds: float) -> None:
        """A task (a request, or a piece of one) had waited so long when its batch was taken."""
        with self._lock:
            self._queueing.add(seconds * 1e6, "")

    def batch_made(self, rows: int, padding: int) -> None:
        """A batch of `rows` rows is about to run, `padding` of which are filled in."""
        with self._lock:
            self._batch_rows.add(rows)
            self._padding.add(padding, str(rows))

    def batch_ran(self) -> None:
        """The model ran for a batch, whether it succeeded or not."""
        with self._lock:
            self._batches.add(1)

    def value(self, name: str) -> int:
        """What ReloadConfigRequest.metric_names asks for.

        Args:
            name: TF Serving's own name of a metric, as in "/tensorflow/serving/request_count".

        Returns:
            The value of its first point in the order of labels; 0 for a histogram, a metric
            without points, and a name that is not known.
        """
        with self._lock:
            metric = self._by_name.get(name)
            return min(metric.counters.items())[1] if metric and metric.counters else 0

    def render(self) -> bytes:
        """The page in Prometheus' text format."""
        lines: list[str] = []
        with self._lock:
            for metric in self._by_name.values():
                if metric.counters or metric.histograms or not metric.hidden:
                    lines += metric.lines()
        return ("\n".join(lines) + "\n").encode()
