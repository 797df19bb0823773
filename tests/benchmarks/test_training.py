"""Both trainings are timed on the same devices, in the same precision."""

import keras

from benchmarks import training
from benchmarks.training import main
from modules.network import build_resnet


def test_both_ways_are_timed_by_turns(monkeypatch, capsys):
    built = []

    def small(recipe, size, classes) -> keras.Model:
        built.append(keras.config.dtype_policy().name)
        return build_resnet((size, size, 3), classes, blocks=(1,), width=4)

    monkeypatch.setattr(training, "build_network", small)
    monkeypatch.setattr(training, "SIZE", 16)
    main(["--rounds", "1", "--images", "64", "--epochs", "2", "--precision", "mixed_bfloat16"])
    assert built == ["mixed_bfloat16"] * 2
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("training on CPU, mixed_bfloat16, XLA off")
    assert [line.split()[0] for line in told[1:3]] == ["ours", "plain"]
    assert [line.split(":")[0] for line in told[3:]] == [
        f"plain / ours, {name}" for name in ("first_step", "step", "whole")
    ]
