"""The benchmark of serving, on a model that takes no time."""

import json

import pytest

from benchmarks import serving_speed
from signs.process import cores


def test_what_the_clients_take_is_not_the_servers():
    figures = serving_speed.Figures(
        rate=100.0, p50_ms=1.0, p99_ms=1.0, cpu_ms=8.0, client_cpu_ms=4.0 * cores(), batch=16.0
    )
    assert figures.alone == pytest.approx(1 / 0.006)  # 10 ms an image, 4 of them the clients'


def test_each_figure_has_its_own_median():
    windows = [serving_speed.Figures(*[float(number)] * 6) for number in (1, 3, 2)]
    assert serving_speed.median(windows) == serving_speed.Figures(*[2.0] * 6)


@pytest.mark.slow
def test_a_table_and_json(push, tmp_path, capsys, monkeypatch):
    push(tmp_path / "signs", 1)
    out = tmp_path / "speed.json"
    arguments = [str(tmp_path / "signs"), f"--before={tmp_path / 'signs'}", f"--out={out}"]
    monkeypatch.setattr("sys.argv", ["serving_speed.py", *arguments, "--rounds=1", "--seconds=1"])
    serving_speed.main()
    written = json.loads(out.read_text())
    rows = [(row["model"], row["how"], row["clients"]) for row in written["rows"]]
    assert rows == [
        *[("now", "in process", 1), ("now", "in process", cores())],
        *[("now", how, clients) for how in ("gRPC", "REST") for clients in (1, 8, 32, 128)],
        *[("before", "in process", 1), ("before", "in process", cores())],
        *[("before", "gRPC", 1), ("before", "gRPC", 32)],
    ]
    assert all(row["rate"] > 0 and row["cpu_ms"] > 0 for row in written["rows"])
    assert len(written["ratios"]) == 6
    told = capsys.readouterr().out
    assert "p50 ms" in told
    assert "p50 of one client, now / before" in told
