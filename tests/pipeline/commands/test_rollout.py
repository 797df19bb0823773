"""What the commands of a rollout print; what they do to a server: tests/serving."""

from datetime import UTC, datetime

from pipeline.commands.place import ServedVersion, render_comparison
from pipeline.commands.rollout import comparison_as_dict, render_state, render_versions
from serving.rollout import State
from serving.shadow import Comparison, Difference
from tests.pipeline.summaries import shown

ASKED = datetime(2026, 11, 22, 22, 14, tzinfo=UTC)


def difference(row: int) -> Difference:
    return Difference(ASKED, 7, row, "[red]", "blue", 0.25)


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
    assert shown(render_comparison, found, "stable", "canary") == [
        "40 images in 2 requests: 0.0 % change their class (0); the largest change of a "
        "probability is 0.0013",
        "1 records are no Predict request of this model.",
    ]


def test_the_first_differences_are_shown_and_all_are_told_as_json() -> None:
    found = Comparison(1, 50, differences=[difference(row) for row in range(22)])
    lines = shown(render_comparison, found, "3", "4")
    assert lines[1].split() == ["asked", "at", "request", "image", "3", "4", "change"]
    assert lines[2].split() == ["2026-11-22", "22:14:00", "7", "0", "[red]", "blue", "0.2500"]
    assert len(lines) == 2 + 20 + 1
    assert lines[-1] == "and 2 more: --json"
    told = comparison_as_dict(found)
    assert told["changed"] == 0.44
    assert [one["row"] for one in told["differences"]] == list(range(22))
    assert told["differences"][0]["asked_at"] == "2026-11-22T22:14:00+00:00"
