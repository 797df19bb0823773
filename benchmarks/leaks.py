"""How well copies are found: drawings with copies planted among them, and what that costs.

    python benchmarks/leaks.py --images 100000 --copies 1000 --workspace /tmp/leaks

A few hundred drawings are varied cheaply: each is tinted, mirrored and put before another wall of
smooth colours, so that no two are alike. The copies are planted at random: equal, encoded anew as
JPEG, resized, and shifted by two pixels. A line of JSON says which part of each kind was found
(recall), which part of what was found was planted (precision), CPU seconds, and the peak of memory.
"""

import argparse
import io
import json
import resource
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from data import synthetic
from data.leaks.find import find
from data.leaks.report import groups
from data.sample import Sample
from data.tfrecord import Writer
from signs.image_bytes import encode_png

KINDS = ("exact", "jpeg", "resized", "shifted")
_DRAWN = 400
_SHARD = 5000  # images


def varied(drawings: Sequence[np.ndarray], index: int) -> np.ndarray:
    """One picture of many, uint8 [64, 64, 3]; another index, another picture."""
    random = np.random.default_rng(index)
    drawing = drawings[index % len(drawings)].astype(np.float32)
    if random.random() < 0.5:
        drawing = drawing[:, ::-1]
    coarse = random.integers(0, 256, (5, 5, 3), np.uint8)
    wall = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
    share = random.uniform(0.35, 0.65)
    mixed = (1 - share) * drawing * random.uniform(0.7, 1, 3) + share * np.asarray(wall)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def copy_of(pixels: np.ndarray, kind: str, random: np.random.Generator) -> bytes:
    """A copy as a file."""
    if kind == "jpeg":
        buffer = io.BytesIO()
        quality = int(random.integers(50, 96))
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()
    if kind == "resized":
        side = int(random.choice([40, 48, 80, 96, 128]))
        resized = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
        return encode_png(np.asarray(resized))
    if kind == "shifted":
        right, down = random.choice([-2, 0, 2], 2)
        if right == down == 0:
            right = 2
        padded = np.pad(pixels, ((2, 2), (2, 2), (0, 0)), mode="edge")
        return encode_png(padded[2 - down : 66 - down, 2 - right : 66 - right])
    return encode_png(pixels)


def write(folder: Path, images: int, copies: int) -> None:
    """Writes the pictures; those at the end are copies of those at the start, kind by kind."""
    drawings = [synthetic.draw(0, index) for index in range(_DRAWN)]

    def samples() -> Iterator[Sample]:
        for index in range(images - copies):
            source_id = f"picture-{index}"
            yield Sample(encode_png(varied(drawings, index)), 0, "0", source_id, "train")
        random = np.random.default_rng(0)
        for index in range(copies):
            kind = KINDS[index % len(KINDS)]
            image = copy_of(varied(drawings, index), kind, random)
            yield Sample(image, 0, "0", f"{kind}-{index}", "test")

    each = samples()
    for shard in range(-(-images // _SHARD)):
        with Writer(folder / f"{shard:05d}.tfrecord.gz") as file:
            for _, sample in zip(range(_SHARD), each, strict=False):
                file.write(sample.serialize())


def measure(folder: Path, images: int, copies: int) -> dict[str, object]:
    """Searches, and holds what was found against what was planted."""
    begun = time.process_time()
    found = [*groups(find([folder], []))]
    seconds = time.process_time() - begun
    planted = {
        frozenset((f"picture-{index}", f"{KINDS[index % len(KINDS)]}-{index}")): index
        for index in range(copies)
    }
    told = {frozenset(one.source_id for one in group.pictures) for group in found}
    right = Counter(KINDS[planted[group] % len(KINDS)] for group in told if group in planted)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "images": images,
        "planted": copies,
        "recall": {
            kind: right[kind] / len(range(number, copies, len(KINDS)))
            for number, kind in enumerate(KINDS)
        },
        "precision": sum(right.values()) / max(len(told), 1),
        "cpu_s": round(seconds, 1),
        "peak_mib": round(peak),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the pictures unless they are there, searches, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--copies", type=int, default=1000)
    parser.add_argument("--workspace", type=Path, required=True, help="keeps the pictures")
    args = parser.parse_args(argv)
    if not len(KINDS) <= args.copies <= args.images // 2:
        parser.error(f"--copies must be in [{len(KINDS)}, half of --images]")
    folder = args.workspace / f"{args.images}-{args.copies}"
    if not folder.is_dir():
        aside = folder.with_suffix(".part")
        aside.mkdir(parents=True, exist_ok=True)
        write(aside, args.images, args.copies)
        aside.rename(folder)
    print(json.dumps(measure(folder, args.images, args.copies)))


if __name__ == "__main__":
    main()
