"""The network: batch_norm (Keras's, fused) -> blocks -> resnet50, which a training builds."""

from modules.network.blocks import convolutional_block, identity_block
from modules.network.resnet50 import RESNET50_BLOCKS, ResNet50, any_size, build_resnet

__all__ = [
    "RESNET50_BLOCKS",
    "ResNet50",
    "any_size",
    "build_resnet",
    "convolutional_block",
    "identity_block",
]
