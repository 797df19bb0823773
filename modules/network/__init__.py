"""The network, of Keras's own layers: blocks -> resnet50.

batch_norm is what a training adds, folded what of it is served.
"""

from modules.network.blocks import convolutional_block, identity_block
from modules.network.folded import logits_of
from modules.network.resnet50 import RESNET50_BLOCKS, ResNet50, build_resnet, for_training

__all__ = [
    "RESNET50_BLOCKS",
    "ResNet50",
    "build_resnet",
    "convolutional_block",
    "for_training",
    "identity_block",
    "logits_of",
]
