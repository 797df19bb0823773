"""Sample pictures of a workspace: what a model can be tried on.

data/<model>/.../test/ -> examples/<model>/, an image of each class, named by it
"""

from pathlib import Path
from urllib.parse import quote

from data import spans
from data.manifest import Manifest
from data.sample import read_samples
from data.synthetic import CLASS_NAMES, draw
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
            wanted = Manifest.load(directory).class_names[:_MOST_EXAMPLES]
            for sample in read_samples(directory / features.TEST):
                if sample.class_name in wanted:
                    found.setdefault(sample.class_name, sample.image)
                if len(found) == len(wanted):
                    break
    except (OSError, ValueError, UserError):
        return {}
    return found


def _drawn() -> dict[str, bytes]:
    return {name: encode_png(draw(0, index)) for index, name in enumerate(CLASS_NAMES)}
