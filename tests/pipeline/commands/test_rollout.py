"""What the commands of a rollout print; what they do to a server: tests/serving."""

from datetime import UTC, datetime

from pipeline.commands.place import ServedVersion, render_comparison
from pipeline.commands.rollout import comparison_as_dict, render_state, render_versions
from serving.rollout import State
from serving.shadow import Answered, Comparison, Difference, Limits
from tests.pipeline.summaries import shown

ASKED = datetime(2026, 11, 22, 22, 14, tzinfo=UTC)


def difference(row: int) -> Difference:
    return Difference(ASKED, 7, row, "[red]", "blue", 0.25, known_before=False)


def test_versions_and_what_the_server_has_of_them() -> None:
    found = [
        ServedVersion(3, ["canary"], 10, on_disk=True, state=None),
        ServedVersion(2, ["earlier", "stable"], 0, on_disk=False, state="AVAILABLE"),
    ]
    assert [line.split() for line in shown(render_versions, found)] == [
        ["version", "labels", "traffic", "server"],
        ["v3", "canary", "10", "%", "-"],
        ["v2", "earlier,", "stable", "AVAILABLE", "no", "longer", "on", "disk"],
    ]


def test_the_labels() -> None:
    state = State(labels={"stable": 3, "canary": 4})
    assert shown(render_state, "signs", state) == ["signs: stable is v3, canary is v4"]
    shared = State(labels={"stable": 3, "canary": 4}, share=10)
    assert shown(render_state, "signs", shared) == [
        "signs: stable is v3, canary is v4, 10 % of the traffic goes to the canary"
    ]


def test_a_replay_without_a_difference() -> None:
    found = Comparison(2, 40, passed_over=1, max_probability_change=0.00126)
    found.after = Answered(not_sure=0.05, confidence=0.91, p50_ms=1.5, p99_ms=2.5)
    assert shown(render_comparison, found, "stable", "canary") == [
        "40 images in 2 requests: 0.0 % change their answer (0); the largest change of a "
        "probability is 0.0013",
        "1 records are no Predict request of this model.",
        "        not sure  confidence     p50     p99",
        "stable         -           -  0.0 ms  0.0 ms",
        "canary     5.0 %      91.0 %  1.5 ms  2.5 ms",
    ]


def test_the_first_differences_are_shown_and_all_are_told_as_json() -> None:
    found = Comparison(1, 50, differences=[difference(row) for row in range(22)])
    lines = shown(render_comparison, found, "3", "4")
    assert lines[4].split() == ["asked", "at", "request", "image", "3", "4", "change"]
    assert lines[5].split() == [
        *("2026-11-22", "22:14:00", "7", "0", "not", "sure,", "perhaps", "[red]", "blue", "0.2500")
    ]
    assert len(lines) == 5 + 20 + 1
    assert lines[-1] == "and 2 more: --json"
    told = comparison_as_dict(found, Limits(0.1))
    assert told["changed"] == 0.44
    assert told["reasons"] == ["44.0 % of the images are answered otherwise, more than 10.0 %"]
    assert [one["row"] for one in told["differences"]] == list(range(22))
    assert told["differences"][0]["asked_at"] == "2026-11-22T22:14:00+00:00"
