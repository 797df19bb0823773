"""How many images a second the Trainer's input brings, by stage: what a core does, not a machine.

    python benchmarks/training_input.py --images 4000
    python benchmarks/training_input.py --images 400 --side 224

Images are drawn hands as files: JPEGs of about the size of SIGNS's photographs, or PNGs. Each stage
holds those before it, and is the one that trains: the reader, Transform's graph, the shuffle, the
augmentation at its full strength and full size. Figures are images per CPU second, of all threads
together, so that what else runs on the machine hardly counts: what an epoch takes beyond one of a
quarter of the images, so that starts and graphs do not count. Prints a line of JSON in the end,
with the peak of memory in it.
"""

import argparse
import io
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from data import synthetic
from data.sample import Sample
from data.tfrecord import Writer
from signs.image_bytes import encode_png

if TYPE_CHECKING:
    import tensorflow as tf

    from modules.training.recipe import Recipe

_DRAWN = 300
_SHARD = 1_000  # images
_CLASSES = len(synthetic.CLASS_NAMES)
_QUALITY = 75
_SHARE = 4


def write(folder: Path, images: int, side: int, kind: str) -> float:
    """Writes a split; returns the mean size of an image's file in bytes."""
    files = [_encoded(synthetic.draw(0, index), side, kind) for index in range(_DRAWN)]
    for shard in range(-(-images // _SHARD)):
        with Writer(folder / f"{shard:05d}.tfrecord.gz") as file:
            for index in range(shard * _SHARD, min(images, (shard + 1) * _SHARD)):
                label = synthetic.label_of(index)
                name = synthetic.CLASS_NAMES[label]
                sample = Sample(files[index % _DRAWN], label, name, f"drawn-{index}", "train")
                file.write(sample.serialize())
    return float(np.mean([len(file) for file in files]))


def _encoded(pixels: np.ndarray, side: int, kind: str) -> bytes:
    image = Image.fromarray(pixels)
    if side != image.width:
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    if kind == "png":
        return encode_png(np.asarray(image))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def stages(
    folder: Path, count: int, image_size: int, recipe: "Recipe", graph: str
) -> "Iterator[tuple[str, Callable[[], tf.data.Dataset]]]":
    """Yields the name of each stage, and what makes its dataset of batches."""
    import tensorflow as tf
    import tensorflow_transform as tft

    from modules.training import input as training_input
    from modules.training.images import read_images

    output = tft.TFTransformOutput(graph)
    layer, spec = output.transform_features_layer(), output.raw_feature_spec()
    images = read_images([f"{folder}/*"], layer, spec, count)
    seed = tf.constant([0, 0], tf.int64)
    batch = recipe.batch_size

    def parsed(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        return tf.io.parse_example(serialized, spec)

    def stored() -> tf.data.Dataset:
        return images.read(seed).batch(batch)

    yield "read", stored
    yield "and parsed", lambda: stored().map(parsed)
    yield "evaluated: prepared", lambda: images.batches(size=image_size).unbatch().batch(batch)
    for where, limit in (("streamed", 0), ("in memory", sys.maxsize)):
        training_input.MEMORY_LIMIT_BYTES = limit
        batches = training_input.training_batches(images, count, recipe, image_size, _CLASSES)
        yield f"{where}: chosen", partial(batches.chosen, 0)
        yield f"{where}: as it trains", partial(batches, 0)


def cpu_s(dataset: "tf.data.Dataset") -> float:
    """CPU seconds of an epoch, its start and its graph's among them."""
    begun = time.process_time()
    for _ in dataset:
        pass
    return time.process_time() - begun


def transform_graph(folder: Path, image_size: int) -> str:
    """Writes Transform's graph as the pipeline's Transform does; returns its folder."""
    import tensorflow_transform as tft
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tensorflow_transform import impl_helper
    from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils

    from data.schema import schema_path
    from modules import preprocessing

    schema = text_format.Parse(schema_path().read_text(), schema_pb2.Schema())
    specs = schema_utils.schema_as_feature_spec(schema).feature_spec
    metadata = folder / tft.TFTransformOutput.RAW_METADATA_DIR
    metadata_io.write_metadata(dataset_metadata.DatasetMetadata(schema), str(metadata))
    impl_helper.analyze_in_place(
        lambda inputs: preprocessing.preprocessing_fn(inputs, {"image_size": image_size}),
        False,
        specs,
        impl_helper.get_type_specs_from_feature_specs(specs),
        str(folder),
    )
    return str(folder)


def main(argv: Sequence[str] | None = None) -> None:
    """Parses, measures stage after stage, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=4_000)
    parser.add_argument("--side", type=int, default=64, help="pixels a side of the files")
    parser.add_argument("--image-size", type=int, default=64, help="pixels a side that are trained")
    parser.add_argument("--kind", choices=("jpeg", "png"), default="jpeg")
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args(argv)
    from modules.training.recipe import Augmentation, Recipe

    recipe = Recipe(
        epochs=1,
        batch_size=args.batch_size,
        sizes=((1.0, 1.0),),
        augmentation=Augmentation(ramp=0.0),
    )
    found = {}
    with tempfile.TemporaryDirectory() as place:
        graph = transform_graph(Path(place, "transform"), args.image_size)
        counts = args.images, args.images // _SHARE
        folders = Path(place, "all"), Path(place, "few")
        for folder, count in zip(folders, counts, strict=True):
            folder.mkdir()
            size = write(folder, count, args.side, args.kind)
        print(f"{args.images:,} {args.kind} files of {args.side} pixels and {size:,.0f} bytes")
        both = [
            stages(folder, count, args.image_size, recipe, graph)
            for folder, count in zip(folders, counts, strict=True)
        ]
        for (name, epoch), (_, part) in zip(*both, strict=True):
            more, less = (cpu_s(make()) for make in (epoch, part))
            found[name] = round((counts[0] - counts[1]) / (more - less))
            print(f"{name:28} {found[name]:9,} images per CPU second", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    about = {**vars(args), "bytes": round(size), "peak_mib": peak}
    print(json.dumps({**about, "images_per_cpu_s": found}))


if __name__ == "__main__":
    main()
