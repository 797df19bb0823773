"""How many wrong labels are found: labels of SIGNS are planted wrong, and looked for.

    python benchmarks/suspects.py --data 64x64_SIGNS.zip --seeds 10

Of each seed 20 train pictures get another class at random. A line of JSON says how many of them are
among the first 25 suspects, which others are, how long the list is, and CPU seconds. Seed -1 plants
none: it lists what SIGNS has of its own.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.converting.convert import ingest
from data.leaks.find import find as find_leaks
from data.leaks.report import Group, groups
from data.sample import Sample, read_samples
from data.suspects.find import find
from data.tfrecord import Writer
from signs.features import SPLITS, TRAIN

_FIRST = 25


def planted(samples: list[Sample], count: int, seed: int) -> dict[str, Sample]:
    """Returns train pictures under another class, by source id."""
    random = np.random.default_rng(seed)
    names = sorted({sample.class_name for sample in samples})
    ids = sorted(sample.source_id for sample in samples if sample.split == TRAIN)
    chosen = set(random.choice(ids, count, replace=False).tolist())
    wrong = {}
    for sample in sorted(samples, key=lambda sample: sample.source_id):
        if sample.source_id in chosen:
            others = [name for name in names if name != sample.class_name]
            wrong[sample.source_id] = replace(sample, class_name=str(random.choice(others)))
    return wrong


def measure(samples: list[Sample], copies: list[Group], count: int, seed: int) -> dict[str, object]:
    """Plants, looks, and counts."""
    wrong = planted(samples, count, seed) if seed >= 0 else {}
    with tempfile.TemporaryDirectory() as folder:
        for split in SPLITS:
            Path(folder, split).mkdir()
            with Writer(Path(folder, split, "data.tfrecord.gz")) as file:
                for sample in samples:
                    if sample.split == split:
                        file.write(wrong.get(sample.source_id, sample).serialize())
        begun = time.process_time()
        found = find([Path(folder, split) for split in SPLITS], copies)
        seconds = time.process_time() - begun
    first = found.suspects[:_FIRST]
    return {
        "seed": seed,
        "planted": len(wrong),
        f"in_first_{_FIRST}": sum(one.id in wrong for one in first),
        "listed": found.found,
        "confident": sum(one.confident for one in found.suspects),
        "confident_and_planted": sum(one.confident and one.id in wrong for one in found.suspects),
        "agreement": round(found.agreement, 4),
        "others": [one.id.rsplit("/", 1)[-1] for one in first if one.id not in wrong],
        "cpu_s": round(seconds, 2),
    }


def main() -> None:
    """Reads what to measure, and prints a line for each seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="CS230's zip of SIGNS")
    parser.add_argument("--planted", type=int, default=20, help="wrong labels (20)")
    parser.add_argument("--seeds", type=int, default=5, help="so many plantings (5)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ingested = ingest(arguments.data, Path(folder))
        samples = [one for split in SPLITS for one in read_samples(ingested.directory / split)]
        with ingested.folders() as folders:
            copies = [*groups(find_leaks(folders, ()))]
    for seed in range(-1, arguments.seeds):
        print(json.dumps(measure(samples, copies, arguments.planted, seed)), flush=True)


if __name__ == "__main__":
    main()
