"""What the Tuner found, read from its artifacts.

best_hyperparameters (KerasTuner's), tuner_results (a row for each trial that succeeded) -> Tuned
"""

import json
from collections.abc import Mapping
from pathlib import Path

from tfx.types import Artifact

from pipeline.running.history import Tuned


def read_tuned(outputs: Mapping[str, list[Artifact]]) -> Tuned:
    """Reads the best hyperparameters.

    Args:
        outputs: the Tuner's, by key.
    """
    [best], [results] = outputs["best_hyperparameters"], outputs["tuner_results"]
    [path] = Path(best.uri).iterdir()
    [rows] = Path(results.uri).iterdir()
    trials = json.loads(rows.read_text())
    return Tuned(
        hyperparameters=json.loads(path.read_text())["values"],
        accuracy=max(trial["score"] for trial in trials),
        trials=len(trials),
    )
