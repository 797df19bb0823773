"""What a run of so many images needs, and whether this machine has it: told before it begins.

configuration -> Needs -> a sentence for each thing that is short, with its remedy

The files of a span are not copied: what grows with the images on the disk is LeakageGuard's work,
which is gone before the models are made.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from data.converting.room import in_units
from drawing import shows_signs
from modules.training.bounds import input_bytes
from pipeline.config import PipelineConfig
from pipeline.running import memory
from signs.errors import UserError

# In bytes: what the libraries take before the first image,
_LIBRARIES = 1_700 << 20
# and what ResNet50 keeps of an image of 224 x 224 pixels for its gradients (computed).
_ACTIVATIONS, _SIDE = 110 << 20, 224
_MODELS = 2 << 30  # checkpoints, exported copies and pushed versions of ResNet50
_WORK = 1_300  # of each image, while LeakageGuard compares them


@dataclass(frozen=True)
class Needs:
    """What a run takes at its peak, in bytes."""

    memory: int
    disk: int


def needs_of(config: PipelineConfig) -> Needs:
    """What to expect of a run on the CPU; on a GPU the network's share of the memory is there."""
    train, size = config.train, config.image_size
    images = sum(config.data.counts.values())
    trained_on = sum(config.data.counts[split] for split in train.splits)
    network = train.width / 64 * sum(train.blocks) / 16
    batch = min(train.batch_size, max(1, trained_on))
    if shows_signs(config.data.class_names):
        batch += round(batch * train.drawn)
    training = input_bytes(trained_on, batch, size)
    training += round(batch * _ACTIVATIONS * (size / _SIDE) ** 2 * network)
    return Needs(
        memory=_LIBRARIES + training,
        disk=max(round(_MODELS * network), images * _WORK),
    )


def lacking(config: PipelineConfig, workspace: Path) -> list[str]:
    """What this machine has too little of for a run: a sentence each, with the remedy.

    Raises:
        UserError: the disk cannot take what the run writes.
    """
    needs = needs_of(config)
    free = shutil.disk_usage(workspace).free
    if free < needs.disk:
        raise UserError(
            "a run writes models, checkpoints and what its steps work on, about "
            f"{in_units(needs.disk)}, and {in_units(free)} are free at {workspace}: make room "
            "(`signs prune` helps), or use --workspace"
        )
    there, _ = memory.available()
    if there >= needs.memory:
        return []
    images = f"{sum(config.data.counts.values()):,} images"
    return [
        f"Note: {images} of {config.image_size} pixels may take about {in_units(needs.memory)} of "
        f"memory, and {in_units(there)} are free: should it run out, take fewer images, a smaller "
        "--set train.batch_size, or a machine with more."
    ]
