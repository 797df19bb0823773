"""TensorFlow's and tensorflow-serving-api's generated modules -> one FileDescriptorSet."""

import contextlib
import importlib

from google.protobuf import descriptor, descriptor_pb2, descriptor_pool

_APIS = "tensorflow_serving/apis"
# With everything that these import.
_FILES = (
    "tensorflow/core/example/example.proto",
    f"{_APIS}/model_service.proto",
    f"{_APIS}/prediction_log.proto",
    f"{_APIS}/prediction_service.proto",
)


def collect() -> descriptor_pb2.FileDescriptorSet:
    """The files, each after those that it imports."""
    collected: dict[str, descriptor.FileDescriptor] = {}
    for name in _FILES:
        # Modules of services are of an older protoc and stop half way, when theirs is in the pool.
        with contextlib.suppress(AttributeError):
            importlib.import_module(name.replace("/", ".").replace(".proto", "_pb2"))
        _collect(descriptor_pool.Default().FindFileByName(name), collected)
    files = descriptor_pb2.FileDescriptorSet()
    for file in collected.values():
        files.file.add().ParseFromString(file.serialized_pb)
    return files


def _collect(
    file: descriptor.FileDescriptor, collected: dict[str, descriptor.FileDescriptor]
) -> None:
    for dependency in file.dependencies:
        _collect(dependency, collected)
    collected.setdefault(file.name, file)
