"""Sample pictures of a workspace: what a model can be tried on.

data/<model>/.../test/ -> examples/<model>/, an image of each class, named by it
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from data import spans, tfrecord
from data.sample import Sample
from data.synthetic import CLASS_NAMES, draw
from data.window.window import Part, fold, history
from pipeline.environment import Workspace
from signs import durable, features
from signs.errors import UserError
from signs.image_bytes import encode_png

_MOST_EXAMPLES = 12


def write_examples(workspace: Workspace, model: str) -> Path:
    """Writes an image of each class, named by it, from the newest test images of the model's data.

    A workspace that has the model but not its data gives drawn hands.

    Returns:
        The folder, `examples/<model>/`.

    Raises:
        OSError: it cannot be written.
    """
    folder = workspace.examples(model)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for class_name, image in (_test_images(workspace.data / model) or _drawn()).items():
        suffix = ".png" if image.startswith(b"\x89PNG") else ".jpg"
        durable.write_bytes(folder / f"{quote(class_name, safe=' ')}{suffix}", image)
    return folder


def _test_images(dataset: Path) -> dict[str, bytes]:
    """The first test image of each class; empty without data, or where they are damaged."""
    found: dict[str, bytes] = {}
    try:
        for _, _, directory in spans.versions(dataset)[-1:]:
            parts = history(directory)
            wanted = parts[-1].manifest.class_names[:_MOST_EXAMPLES]
            for sample in _newest_first(parts):
                if sample.class_name in wanted:
                    found.setdefault(sample.class_name, sample.image)
                if len(found) == len(wanted):
                    break
    except (OSError, ValueError, UserError):
        return {}
    return found


def _newest_first(parts: Sequence[Part]) -> Iterator[Sample]:
    """The test images of spans that go on from one another: a small one may have none itself."""
    for part in reversed(fold(parts).parts):
        for number, shard in enumerate(part.manifest.shards):
            if shard.split == features.TEST:
                left_out = part.left_out.get(number, frozenset())
                for record in tfrecord.read(part.directory / shard.path):
                    if (sample := Sample.parse(record)).source_id not in left_out:
                        yield sample


def _drawn() -> dict[str, bytes]:
    return {name: encode_png(draw(0, index)) for index, name in enumerate(CLASS_NAMES)}
