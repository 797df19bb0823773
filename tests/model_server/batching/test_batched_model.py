"""Batching with stand-in models: who shares a run, who is refused, and who gets which rows."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import numpy as np
import pytest
from google.protobuf import text_format

from model_server.batching.batched_model import BatchedModel
from model_server.batching.queues import BatchingPool
from model_server.configs.protos import BatchingParameters
from model_server.errors import InvalidArgumentError, ModelError, RequestError, UnavailableError
from model_server.metrics import Metrics

WAIT_S = 10
LONG = "batch_timeout_micros { value: 20000000 }"  # no batch is due during a test
FULL = "The batch scheduling queue to which this task was submitted is full; "


def total(feeds):
    """Rows from whose sum can be told who was in the batch."""
    x = feeds["x:0"]
    return {"y:0": np.full(len(x), x.sum()), "z:0": x}


def same(feeds):
    return {"y:0": feeds["x:0"]}


class Model:
    """Computes its outputs from its feeds and remembers the runs."""

    signature_defs: dict = {}  # noqa: RUF012

    def __init__(self, compute: Callable) -> None:
        self._compute = compute
        self.runs: list[dict] = []
        self.deadlines: list = []
        self.closed = 0

    def run(self, feeds, fetches, deadline=None):
        self.runs.append(feeds)
        self.deadlines.append(deadline)
        outputs = self._compute(feeds)
        return [outputs[name] for name in fetches]

    def close(self):
        self.closed += 1


def parameters(text: str):
    return text_format.Parse(text, BatchingParameters())


class Batched:
    """A batched stand-in, asked from many threads."""

    def __init__(self, pool: BatchingPool, executor: futures.Executor) -> None:
        self.pool, self._executor = pool, executor
        self.metrics = Metrics()

    def load(self, compute: Callable, text: str) -> "Batched":
        self.model = Model(compute)
        self.batched = BatchedModel(self.model, parameters(text), self.pool, self.metrics)
        return self

    def ask(self, *x, fetches=("y:0",), deadline=None, dtype=np.float32, **more) -> futures.Future:
        """Asks, and comes back when the request is in its queue (or answered)."""
        feeds = {"x:0": np.array(x, dtype)}
        feeds |= {f"{name}:0": np.asarray(value, np.float32) for name, value in more.items()}
        before = self.queued()
        answer = self._executor.submit(self.batched.run, feeds, list(fetches), deadline)
        limit = time.monotonic() + WAIT_S
        while not answer.done() and self.queued() <= before and not self.model.runs:
            assert time.monotonic() < limit
            time.sleep(0.001)
        return answer

    def queued(self) -> int:
        with self.pool._changed:
            batches = [b for q in self.pool._queues.values() for b in (*q._closed, q._open)]
        return sum(len(batch.tasks) for batch in batches)


def rows(answer: futures.Future, output: int = 0) -> list:
    return answer.result(WAIT_S)[output].tolist()


def refusal(answer: futures.Future) -> tuple[str, str]:
    error = answer.exception(WAIT_S)
    assert isinstance(error, RequestError)
    return error.code.name, str(error)


@pytest.fixture
def batched() -> Iterator[Batched]:
    pool = BatchingPool(2)
    with futures.ThreadPoolExecutor(16) as executor:
        yield Batched(pool, executor)
        # What is left in queues with long timeouts shall not hold the test up.
        with pool._changed:
            for queue in pool._queues.values():
                queue._open.since = -1e9
            pool._changed.notify_all()
    assert pool.close(WAIT_S)


# --- Batches --------------------------------------------------------------------------------------


def test_a_full_batch_runs_before_its_timeout(batched):
    batched.load(total, f"max_batch_size {{ value: 4 }} {LONG}")
    one, three = batched.ask(1), batched.ask(2, 3, 4)
    assert (rows(one), rows(three)) == ([10], [10, 10, 10])
    assert len(batched.model.runs) == 1


def test_a_lone_row_waits_for_the_timeout(batched):
    batched.load(total, "max_batch_size { value: 4 } batch_timeout_micros { value: 300000 }")
    started = time.monotonic()
    assert rows(batched.ask(1)) == [1]
    assert 0.3 <= time.monotonic() - started < 2


def test_the_timeout_is_that_of_the_first_task(batched):
    batched.load(total, "max_batch_size { value: 9 } batch_timeout_micros { value: 1000000 }")
    started = time.monotonic()
    first = batched.ask(1)
    time.sleep(0.7)
    second = batched.ask(2)
    assert (rows(first), rows(second)) == ([3], [3])
    assert time.monotonic() - started < 1.7


def test_without_a_timeout_nobody_waits(batched):
    batched.load(total, "")
    started = time.monotonic()
    assert rows(batched.ask(1)) == [1]
    assert time.monotonic() - started < 2


def test_a_task_that_does_not_fit_closes_the_batch(batched):
    batched.load(total, f"max_batch_size {{ value: 2 }} {LONG}")
    one = batched.ask(1)
    two = batched.ask(2, 3)
    assert (rows(one), rows(two)) == ([1], [5, 5])


def test_allowed_sizes_are_filled_with_the_first_row_of_the_last_task(batched):
    text = "max_batch_size { value: 4 } allowed_batch_sizes: [2, 4]"
    batched.load(total, f"{text} batch_timeout_micros {{ value: 100000 }}")
    assert rows(batched.ask(5, 1, 1)) == [12, 12, 12]
    batched.load(total, f"{text} batch_timeout_micros {{ value: 300000 }}")
    one, two = batched.ask(1), batched.ask(7, 2)
    assert (rows(one), rows(two)) == ([17], [17, 17])


def test_allowed_sizes_are_tried_in_the_order_given(batched):
    batched.load(same, "max_batch_size { value: 8 } allowed_batch_sizes: [4, 2, 8]")
    assert rows(batched.ask(1)) == [1]
    assert len(batched.model.runs[0]["x:0"]) == 4


def test_no_rows_are_a_run_of_their_own(batched):
    batched.load(same, "max_batch_size { value: 8 } allowed_batch_sizes: [4, 8]")
    assert rows(batched.ask()) == []
    assert batched.model.runs[0]["x:0"].shape == (0,)


def test_rows_without_values_are_filled_with_those_that_have_some(batched):
    text = "max_batch_size { value: 4 } allowed_batch_sizes: 4"
    batched.load(total, f"{text} batch_timeout_micros {{ value: 200000 }}")
    one, none = batched.ask(3), batched.ask()
    assert (rows(one), rows(none)) == ([12], [])


def test_who_shares_a_batch(batched):
    """The same tensors in and out, of the same types; the order of the outputs does not matter."""
    batched.load(total, f"max_batch_size {{ value: 2 }} {LONG}")
    y = batched.ask(1)
    both = batched.ask(2, fetches=("y:0", "z:0"))
    doubles = batched.ask(4, dtype=np.float64)
    assert not any(answer.done() for answer in (y, both, doubles))
    reverse = batched.ask(8, fetches=("z:0", "y:0"))
    assert (rows(both), rows(both, 1), rows(reverse), rows(reverse, 1)) == ([10], [2], [8], [10])
    assert rows(batched.ask(16)) == rows(y) == [17]
    assert not doubles.done()


def test_two_versions_never_share_a_batch(batched):
    text = "max_batch_size { value: 2 } batch_timeout_micros { value: 200000 }"
    old, first = batched.load(total, text).batched, batched.ask(1)
    new, second = batched.load(total, text).batched, batched.ask(2)
    assert old is not new
    assert (rows(first), rows(second)) == ([1], [2])


def test_one_tensor_may_be_fetched_twice(batched):
    batched.load(total, "")
    answer = batched.ask(1, 2, fetches=("y:0", "y:0"))
    assert rows(answer, 0) == rows(answer, 1) == [3, 3]


def test_strings(batched):
    batched.load(same, "max_batch_size { value: 2 } allowed_batch_sizes: 2")
    assert rows(batched.ask(b"a", dtype=object)) == [b"a"]
    assert batched.model.runs[0]["x:0"].tolist() == [b"a", b"a"]


# --- Widths ---------------------------------------------------------------------------------------


def test_other_widths_run_apart(batched):
    batched.load(same, f"max_batch_size {{ value: 2 }} {LONG}")
    narrow, wide = batched.ask([1, 2]), batched.ask([3, 4, 5])
    assert (rows(narrow), rows(wide)) == ([[1, 2]], [[3, 4, 5]])


def test_padding_makes_rows_as_wide_as_the_widest(batched):
    batched.load(same, f"max_batch_size {{ value: 2 }} pad_variable_length_inputs: true {LONG}")
    narrow, wide = batched.ask([1, 2]), batched.ask([3, 4, 5])
    assert (rows(narrow), rows(wide)) == ([[1, 2, 1]], [[3, 4, 5]])
    first, second = batched.ask([[7], [8]]), batched.ask([[1, 2]])
    assert rows(first) == [[[7, 7], [8, 7]]]
    assert rows(second) == [[[1, 2], [1, 1]]]


def test_nothing_cannot_be_made_wider_and_runs_apart(batched):
    batched.load(same, f"max_batch_size {{ value: 2 }} pad_variable_length_inputs: true {LONG}")
    empty, wide = batched.ask([]), batched.ask([3, 4])
    assert (rows(empty), rows(wide)) == ([[]], [[3, 4]])
    assert [run["x:0"].shape for run in batched.model.runs] == [(1, 0), (1, 2)]


def test_seven_dimensions_cannot_be_padded(batched):
    batched.load(same, "pad_variable_length_inputs: true")
    answer = batched.ask(np.zeros([1] * 6))
    assert refusal(answer) == (
        "INVALID_ARGUMENT",
        "Only tensors with rank from 1 to 6 can be padded.",
    )


# --- What is refused ------------------------------------------------------------------------------


def test_too_many_rows(batched):
    batched.load(same, "max_batch_size { value: 2 }")
    error = ("INVALID_ARGUMENT", "Task size 3 is larger than maximum input batch size 2")
    assert refusal(batched.ask(1, 2, 3)) == error
    assert rows(batched.ask(1, 2)) == [1, 2]


def test_inputs_without_a_common_number_of_rows(batched):
    batched.load(same, "")
    assert refusal(batched.ask(1, 2, a=[1])) == (
        "INVALID_ARGUMENT",
        "Batching Run() input tensors must have equal 0th-dimension size",
    )
    assert refusal(batched.ask(1, a=1)) == (
        "INVALID_ARGUMENT",
        "Batching Run() input tensors must have at least one dimension",
    )
    with pytest.raises(InvalidArgumentError, match="must have at least one input tensor"):
        batched.batched.run({}, ["y:0"])


def test_a_full_queue_refuses(batched):
    batched.load(total, f"max_batch_size {{ value: 2 }} max_enqueued_batches {{ value: 1 }} {LONG}")
    waiting = batched.ask(1)
    assert refusal(batched.ask(2, 3)) == (
        "UNAVAILABLE",
        f"{FULL}currently 1 batches enqueued and max_enqueued_batches is 1",
    )
    assert not waiting.done()
    assert rows(batched.ask(2)) == rows(waiting) == [3]


def test_a_batch_that_runs_is_not_in_the_queue(batched):
    release = threading.Event()
    running = threading.Semaphore(0)

    def slow(feeds):
        running.release()
        assert release.wait(WAIT_S)
        return same(feeds)

    batched.load(slow, "max_batch_size { value: 1 } max_enqueued_batches { value: 1 }")
    answers = []
    for number in (1, 2):
        answers.append(batched.ask(number))
        assert running.acquire(timeout=WAIT_S)
    answers.append(batched._executor.submit(batched.batched.run, {"x:0": np.ones(1)}, ["y:0"]))
    while not batched.queued():
        time.sleep(0.001)
    with pytest.raises(UnavailableError, match="currently 1 batches enqueued"):
        batched.batched.run({"x:0": np.ones(1)}, ["y:0"])
    release.set()
    assert [rows(answer) for answer in answers] == [[1], [2], [1]]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            lambda feeds: {"y:0": np.float32(1).reshape(())},
            "Batched output tensor has 0 dimensions",
        ),
        (
            lambda feeds: {"y:0": np.ones(3)},
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
            "sizes of the input tensors",
        ),
    ],
)
def test_outputs_that_are_not_rows(batched, outputs, message):
    batched.load(outputs, "")
    assert refusal(batched.ask(1)) == ("FAILED_PRECONDITION", message)


def bad(*wrong):
    """A model that fails where one of `wrong` is among the rows."""

    def compute(feeds):
        if found := [x for x in feeds["x:0"].tolist() if x in wrong]:
            raise ModelError(grpc.StatusCode.INVALID_ARGUMENT, f"bad {found[0]:g}")
        return {"y:0": feeds["x:0"] * 10}

    return compute


def sizes(batched) -> list[int]:
    return [len(run["x:0"]) for run in batched.model.runs]


def test_an_error_is_its_requests_and_the_others_are_answered(batched):
    batched.load(bad(6), f"max_batch_size {{ value: 8 }} {LONG}")
    answers = [batched.ask(number) for number in range(8)]
    assert refusal(answers.pop(6)) == ("INVALID_ARGUMENT", "bad 6")
    assert [rows(answer) for answer in answers] == [[0], [10], [20], [30], [40], [50], [70]]
    assert sizes(batched) == [8, 4, 4, 2, 2, 1, 1]


def test_a_batch_of_bad_requests_costs_no_more_than_its_halves(batched):
    batched.load(bad(*range(16)), f"max_batch_size {{ value: 16 }} {LONG}")
    answers = [batched.ask(number) for number in range(16)]
    errors = [refusal(answer)[1] for answer in answers]
    assert errors == [f"bad {number}" for number in range(16)]
    assert sum(sizes(batched)) == 5 * 16


def test_a_request_of_many_rows_is_one_request(batched):
    batched.load(bad(3), f"max_batch_size {{ value: 4 }} {LONG}")
    one, three = batched.ask(1), batched.ask(2, 3, 4)
    assert rows(one) == [10]
    assert refusal(three) == ("INVALID_ARGUMENT", "bad 3")
    assert sizes(batched) == [4, 1, 3]


def test_halves_are_padded_like_any_batch(batched):
    text = f"max_batch_size {{ value: 4 }} allowed_batch_sizes: 4 {LONG}"
    batched.load(bad(2), text)
    answers = [batched.ask(number) for number in range(4)]
    assert refusal(answers.pop(2)) == ("INVALID_ARGUMENT", "bad 2")
    assert [rows(answer) for answer in answers] == [[0], [10], [30]]
    assert set(sizes(batched)) == {4}


@pytest.mark.parametrize("code", ["DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE"])
def test_what_halves_would_not_change_is_everybodys(batched, code):
    def fails(feeds):
        raise ModelError(grpc.StatusCode[code], "too late")

    batched.load(fails, f"max_batch_size {{ value: 2 }} {LONG}")
    one, two = batched.ask(1), batched.ask(2)
    assert refusal(one) == refusal(two) == (code, "too late")
    assert one.exception() is not two.exception()
    assert sizes(batched) == [2]


def test_halves_of_which_all_callers_have_gone_are_not_run(batched):
    def slow(feeds):
        time.sleep(0.1)
        return bad(1)(feeds)

    batched.load(slow, f"max_batch_size {{ value: 2 }} {LONG}")
    late = batched.ask(1, deadline=time.monotonic() + 0.05), batched.ask(2)
    assert refusal(late[0])[0] == "RESOURCE_EXHAUSTED"
    assert rows(late[1]) == [20]
    assert sizes(batched) == [2, 1]


def test_a_bug_reaches_nobody_but_the_log(batched, caplog):
    def fails(feeds):
        raise ZeroDivisionError("secret")

    batched.load(fails, "")
    code, message = refusal(batched.ask(1))
    assert (code, "secret" in message) == ("INTERNAL", False)
    assert "ZeroDivisionError: secret" in caplog.text


# --- Deadlines ------------------------------------------------------------------------------------


def test_a_batch_that_nobody_waits_for_is_not_run(batched):
    batched.load(total, "max_batch_size { value: 9 } batch_timeout_micros { value: 300000 }")
    soon = time.monotonic() + 0.1
    error = ("RESOURCE_EXHAUSTED", "Run() timeout exceeded while waiting in batching queue")
    started = time.monotonic()
    late = [batched.ask(1, deadline=soon), batched.ask(2, deadline=soon)]
    assert [refusal(answer) for answer in late] == [error, error]
    assert time.monotonic() - started >= 0.3
    assert batched.model.runs == []


def test_one_who_still_waits_is_answered_and_so_are_the_others(batched):
    batched.load(total, "max_batch_size { value: 9 } batch_timeout_micros { value: 300000 }")
    latest = time.monotonic() + 60
    late = batched.ask(1, deadline=time.monotonic() + 0.1)
    alive = batched.ask(2, deadline=latest)
    assert (rows(late), rows(alive)) == ([3], [3])
    assert batched.model.deadlines == [latest]


def test_one_without_a_deadline_waits_for_ever(batched):
    batched.load(total, f"max_batch_size {{ value: 2 }} {LONG}")
    one, two = batched.ask(1, deadline=time.monotonic() + 60), batched.ask(2)
    assert (rows(one), rows(two)) == ([3], [3])
    assert batched.model.deadlines == [None]


# --- Large requests are split ---------------------------------------------------------------------

SPLIT = "max_batch_size { value: %d } max_execution_batch_size { value: %d } " + (
    "enable_large_batch_splitting { value: true }"
)


def test_a_large_request_is_split(batched):
    batched.load(total, SPLIT % (4, 2))
    assert rows(batched.ask(1, 2, 3, 4)) == [3, 3, 7, 7]
    error = ("INVALID_ARGUMENT", "Task size 5 is larger than maximum input batch size 4")
    assert refusal(batched.ask(1, 2, 3, 4, 5)) == error


def test_the_last_piece_waits_for_the_timeout(batched):
    batched.load(total, SPLIT % (4, 2) + " batch_timeout_micros { value: 300000 }")
    started = time.monotonic()
    assert rows(batched.ask(1, 2, 3)) == [3, 3, 3]
    assert time.monotonic() - started >= 0.3


def test_the_first_piece_fills_the_open_batch(batched):
    batched.load(total, f"{SPLIT % (9, 3)} {LONG}")
    two = batched.ask(1, 2)
    four = batched.ask(4, 8, 16, 32)
    assert (rows(two), rows(four)) == ([7, 7], [7, 56, 56, 56])


def test_pieces_run_at_the_same_time(batched):
    both = threading.Barrier(2)

    def together(feeds):
        both.wait(WAIT_S)
        return same(feeds)

    batched.load(together, SPLIT % (4, 2))
    assert rows(batched.ask(1, 2, 3, 4)) == [1, 2, 3, 4]


def test_the_error_of_one_piece_is_the_answer(batched):
    def fails(feeds):
        if 3 in feeds["x:0"]:
            raise ModelError(grpc.StatusCode.ABORTED, "three")
        return same(feeds)

    batched.load(fails, SPLIT % (4, 2))
    assert refusal(batched.ask(1, 2, 3, 4)) == ("ABORTED", "three")


def test_room_for_all_pieces_or_none(batched):
    batched.load(total, f"{SPLIT % (4, 2)} max_enqueued_batches {{ value: 1 }}")
    assert refusal(batched.ask(1, 2, 3)) == (
        "UNAVAILABLE",
        f"{FULL}task size is 3 but scheduling capacity is only 2 (num_enqueued_batches=1, "
        "max_enqueued_batches=1, open_batch_size=0, max_execution_batch_size=2)",
    )
    assert rows(batched.ask(1, 2)) == [3, 3]


def test_splitting_without_a_size_refuses_everything(batched):
    batched.load(same, "enable_large_batch_splitting { value: true }")
    assert refusal(batched.ask(1)) == (
        "UNAVAILABLE",
        f"{FULL}task size is 1 but scheduling capacity is only 0 (num_enqueued_batches=1, "
        "max_enqueued_batches=10, open_batch_size=0, max_execution_batch_size=0)",
    )


# --- Parameters -----------------------------------------------------------------------------------

SIZES = "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 8 } allowed_batch_sizes: [2, 4]", f"{SIZES}8"),
        ("allowed_batch_sizes: 4", f"{SIZES}1000"),
        ("max_batch_size { value: 0 }", "input_batch_size_limit must be positive; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative; was -1"),
        (
            "max_enqueued_batches { value: 0 } enable_large_batch_splitting { value: true }",
            "max_enqueued_batches must be positive; was 0",
        ),
        (
            SPLIT % (8, 16),
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater "
            "than or equal to max_execution_batch_size.1816",
        ),
    ],
)
def test_parameters_that_contradict_each_other(batched, text, message):
    model = Model(same)
    with pytest.raises(InvalidArgumentError) as caught:
        BatchedModel(model, parameters(text), batched.pool)
    assert str(caught.value) == message
    assert model.closed == 1


def test_a_negative_size_limits_nothing(batched):
    batched.load(same, "max_batch_size { value: -1 } max_enqueued_batches { value: -1 }")
    assert len(rows(batched.ask(*range(5000)))) == 5000


def test_no_batches_means_one(batched):
    batched.load(total, f"max_batch_size {{ value: 2 }} max_enqueued_batches {{ value: 0 }} {LONG}")
    one = batched.ask(1)
    assert refusal(batched.ask(2, 3))[1].endswith("max_enqueued_batches is 1")
    assert rows(batched.ask(2)) == rows(one) == [3]


def test_threads_are_needed():
    with pytest.raises(InvalidArgumentError, match="num_batch_threads must be positive; was 0"):
        BatchingPool(0)


def test_closing(batched):
    batched.load(same, "")
    batched.batched.close()
    assert batched.model.closed == 1
    assert batched.pool.close(WAIT_S)
    with pytest.raises(UnavailableError, match="The server is stopping"):
        batched.batched.run({"x:0": np.ones(1)}, ["y:0"])


# --- Metrics --------------------------------------------------------------------------------------


def test_metrics(batched):
    batched.load(
        lambda feeds: {"y:0": feeds["x:0"] + feeds["a:0"]},
        "max_batch_size { value: 4 } allowed_batch_sizes: 4",
    )
    assert rows(batched.ask(1, 2, 3, a=[1, 1, 1])) == [2, 3, 4]
    page = batched.metrics.render().decode()
    prefix = ":tensorflow:serving:batching_session:"
    for line in (
        "input_batch_size_sum{} 6",  # a sample for each of the two inputs
        "input_batch_size_count{} 2",
        "processed_batch_size_sum{} 4",
        'padding_size_bucket{execution_batch_size="4",le="1"} 0',
        'padding_size_bucket{execution_batch_size="4",le="2"} 1',
        "wrapped_run_count{} 1",
        'queuing_latency_count{thread_pool_name=""} 1',
    ):
        assert f"{prefix}{line}\n" in page


def test_metrics_of_a_batch_that_cannot_be_merged(batched):
    batched.load(same, f"max_batch_size {{ value: 2 }} {LONG}")
    narrow, wide = batched.ask([1, 2]), batched.ask([3, 4, 5])
    assert (rows(narrow), rows(wide)) == ([[1, 2]], [[3, 4, 5]])
    page = batched.metrics.render().decode()
    prefix = ":tensorflow:serving:batching_session:"
    assert f"{prefix}processed_batch_size_count{{}} 3\n" in page
    assert f"{prefix}wrapped_run_count{{}} 2\n" in page
    assert f'{prefix}queuing_latency_count{{thread_pool_name=""}} 2\n' in page


# --- Many at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "max_batch_size { value: 7 }", SPLIT % (20, 5)])
def test_every_answer_belongs_to_its_request(text):
    """Two models and two sets of outputs; every row says whose it is."""
    compute = lambda feeds: {"y:0": feeds["x:0"] * 2, "z:0": feeds["x:0"] + 1}  # noqa: E731
    text = f"{text} max_enqueued_batches {{ value: 1000 }} batch_timeout_micros {{ value: 300 }}"
    pool = BatchingPool(3)
    models = [BatchedModel(Model(compute), parameters(text), pool) for _ in range(2)]

    def client(number: int) -> int:
        chance = random.Random(number)
        for _ in range(100):
            x = np.array([chance.randrange(10**6) for _ in range(chance.randint(1, 7))])
            fetches = chance.choice([["y:0"], ["z:0", "y:0"]])
            answers = chance.choice(models).run({"x:0": x}, fetches)
            expected = {"y:0": x * 2, "z:0": x + 1}
            for name, answer in zip(fetches, answers, strict=True):
                assert answer.tolist() == expected[name].tolist()
        return number

    with futures.ThreadPoolExecutor(16) as executor:
        assert list(executor.map(client, range(16))) == list(range(16))
    assert pool._queues == {}
    assert pool.close(WAIT_S)
