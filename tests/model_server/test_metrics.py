"""The Prometheus page, line by line."""

import threading

import pytest

from model_server.metrics import Metrics

FRESH = """\
# TYPE :tensorflow:cc:saved_model:load_attempt_count counter
# TYPE :tensorflow:cc:saved_model:load_latency counter
# TYPE :tensorflow:core:graph_run_time_usecs counter
# TYPE :tensorflow:core:graph_run_time_usecs_histogram histogram
# TYPE :tensorflow:core:graph_runs counter
# TYPE :tensorflow:serving:batching_session:queuing_latency histogram
# TYPE :tensorflow:serving:batching_session:wrapped_run_count counter
# TYPE :tensorflow:serving:mlmd_map gauge
# TYPE :tensorflow:serving:model_warmup_latency histogram
# TYPE :tensorflow:serving:model_warmup_records_read counter
# TYPE :tensorflow:serving:request_count counter
# TYPE :tensorflow:serving:request_example_count_total counter
# TYPE :tensorflow:serving:request_example_counts histogram
# TYPE :tensorflow:serving:request_latency histogram
# TYPE :tensorflow:serving:request_log_count counter
# TYPE :tensorflow:serving:runtime_latency histogram
"""
LATENCY_BOUNDS = (
    "10,18,32.4,58.32,104.976,188.957,340.122,612.22,1102,1983.59,3570.47,6426.84,11568.3,20823,"
    "37481.3,67466.4,121440,218591,393464,708235,1.27482e+06,2.29468e+06,4.13043e+06,7.43477e+06,"
    "1.33826e+07,2.40887e+07,4.33596e+07,7.80473e+07,1.40485e+08,2.52873e+08,4.55172e+08,"
    "8.19309e+08,1.47476e+09,+Inf"
)
QUEUEING_BOUNDS = (
    "100,120,144,172.8,207.36,248.832,298.598,358.318,429.982,515.978,619.174,743.008,891.61,"
    "1069.93,1283.92,1540.7,1848.84,2218.61,2662.33,3194.8,3833.76,4600.51,5520.61,6624.74,"
    "7949.68,9539.62,11447.5,13737.1,16484.5,19781.4,23737.6,28485.2,34182.2,41018.6,49222.4,"
    "59066.8,70880.2,85056.2,102067,122481,146977,176373,211647,253977,304772,365726,438871,"
    "526646,631975,758370,910044,1.09205e+06,+Inf"
)


@pytest.fixture
def metrics():
    return Metrics()


def samples(metrics, prefix):
    """The lines of a metric, without its prefix."""
    lines = metrics.render().decode().splitlines()
    return [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]


def test_a_fresh_server(metrics):
    assert metrics.render().decode() == FRESH


def test_request_count(metrics):
    for model, status in [("m", "OK"), ("m", "OK"), ("", "INVALID_ARGUMENT"), ('a"b\\', "OK")]:
        metrics.request_ended(model, status)
    assert samples(metrics, ":tensorflow:serving:request_count") == [
        '{model_name="",status="INVALID_ARGUMENT"} 1',
        r'{model_name="a\"b\\",status="OK"} 1',
        '{model_name="m",status="OK"} 2',
    ]


@pytest.mark.parametrize(
    ("record", "prefix", "labels", "bounds", "micros"),
    [
        (
            lambda m: m.request_latency("m", "Predict", "GRPC", 18e-6),
            "serving:request_latency",
            'model_name="m",API="Predict",entrypoint="GRPC"',
            LATENCY_BOUNDS,
            "18",
        ),
        (
            lambda m: m.runtime_latency("m", "Predict", 2000.0),
            "serving:runtime_latency",
            'model_name="m",API="Predict",runtime="TF1"',
            LATENCY_BOUNDS,
            "2e+09",
        ),
        (
            lambda m: m.warmed_up("/m/1", "OK", 0.0012345678, 2),
            "serving:model_warmup_latency",
            'model_path="/m/1",status="OK"',
            LATENCY_BOUNDS,
            "1234.57",
        ),
        (
            lambda m: m.batch_task_taken(0.0),
            "serving:batching_session:queuing_latency",
            'thread_pool_name=""',
            QUEUEING_BOUNDS,
            "0",
        ),
    ],
)
def test_latencies(metrics, record, prefix, labels, bounds, micros):
    record(metrics)
    value = float(micros)
    expected = [
        f'_bucket{{{labels},le="{bound}"}} {int(bound == "+Inf" or value < float(bound) - 1e-3)}'
        for bound in bounds.split(",")
    ]
    assert samples(metrics, f":tensorflow:{prefix}_") == [
        *(line.removeprefix("_") for line in expected),
        f"sum{{{labels}}} {micros}",
        f"count{{{labels}}} 1",
    ]


def test_a_value_that_equals_a_bound_is_in_the_next_bucket(metrics):
    metrics.batch_input(1)
    metrics.batch_input(1)
    prefix = ":tensorflow:serving:batching_session:input_batch_size_"
    bounds = ["1", "2", "4", "8", "16", "32", "64", "128", "256", "512", "1024", "2048", "4096"]
    assert samples(metrics, prefix) == [
        'bucket{le="1"} 0',
        *(f'bucket{{le="{bound}"}} 2' for bound in [*bounds[1:], "8192", "+Inf"]),
        "sum{} 2",
        "count{} 2",
    ]


def test_batches(metrics):
    metrics.batch_made(4, 1)
    metrics.batch_made(4, 0)
    metrics.batch_ran()
    prefix = ":tensorflow:serving:batching_session:"
    assert samples(metrics, prefix + "wrapped_run_count") == ["{} 1"]
    assert samples(metrics, prefix + "processed_batch_size_sum") == ["{} 8"]
    padding = samples(metrics, prefix + "padding_size_")
    assert padding[:2] == [
        'bucket{execution_batch_size="4",le="1"} 1',
        'bucket{execution_batch_size="4",le="2"} 2',
    ]
    assert padding[-2:] == ['sum{execution_batch_size="4"} 1', 'count{execution_batch_size="4"} 2']


def test_examples(metrics):
    metrics.examples("m", 3)
    assert samples(metrics, ":tensorflow:serving:request_example_count_total") == ['{model="m"} 3']
    lines = samples(metrics, ":tensorflow:serving:request_example_counts_")
    assert lines[:3] == [
        'bucket{model="m",le="1"} 0',
        'bucket{model="m",le="2"} 0',
        'bucket{model="m",le="4"} 1',
    ]
    assert lines[-2:] == ['sum{model="m"} 3', 'count{model="m"} 1']
    assert len(lines) == 16 + 2


def test_loads(metrics):
    metrics.model_loaded("/m/1", True, 0.5)
    metrics.model_loaded("/m/2", False, 0.25)
    assert samples(metrics, ":tensorflow:cc:saved_model:") == [
        'load_attempt_count{model_path="/m/1",status="success"} 1',
        'load_attempt_count{model_path="/m/2",status="fail"} 1',
        'load_latency{model_path="/m/1"} 500000',
        'load_latency{model_path="/m/2"} 250000',
    ]


def test_warm_up_records(metrics):
    metrics.warmed_up("/m/1", "OK", 0.1, 2)
    assert samples(metrics, ":tensorflow:serving:model_warmup_records_read") == [
        '{model_path="/m/1",status="OK"} 2'
    ]


def test_graph_runs(metrics):
    metrics.graph_ran(0.001)
    assert samples(metrics, ":tensorflow:core:graph_runs") == ["{} 1"]
    assert samples(metrics, ":tensorflow:core:graph_run_time_usecs{") == ["} 1000"]
    histogram = samples(metrics, ":tensorflow:core:graph_run_time_usecs_histogram_")
    assert histogram[:2] == ['bucket{le="1000"} 0', 'bucket{le="2000"} 1']
    assert len(histogram) == 21 + 2


def test_values_by_name(metrics):
    metrics.model_loaded("/m/2", True, 1)
    metrics.model_loaded("/m/1", True, 1)
    metrics.model_loaded("/m/1", True, 1)
    metrics.request_latency("m", "", "REST", 1)
    assert metrics.value("/tensorflow/cc/saved_model/load_attempt_count") == 2
    assert metrics.value("/tensorflow/serving/request_latency") == 0
    assert metrics.value("/tensorflow/serving/request_count") == 0
    assert metrics.value("nosuch") == 0


def test_names_that_clients_invent_do_not_fill_the_memory(metrics):
    for number in range(10_100):
        metrics.request_ended(f"{number:05}", "NOT_FOUND")
    metrics.request_ended("00000", "NOT_FOUND")
    lines = samples(metrics, ":tensorflow:serving:request_count")
    assert len(lines) == 10_000
    assert lines[0].endswith("} 2")
    metrics.request_latency("x" * 5000, "", "REST", 1)
    (line,) = samples(metrics, ":tensorflow:serving:request_latency_count")
    assert f'"{"x" * 1024}"' in line


def test_threads(metrics):
    def record():
        for _ in range(2000):
            metrics.request_ended("m", "OK")
            metrics.request_latency("m", "predict", "REST", 0.001)

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    metrics.render()
    for thread in threads:
        thread.join()
    assert samples(metrics, ":tensorflow:serving:request_count") == [
        '{model_name="m",status="OK"} 16000'
    ]
    assert samples(metrics, ":tensorflow:serving:request_latency_count") == [
        '{model_name="m",API="predict",entrypoint="REST"} 16000'
    ]
