"""The descriptors of TF Serving's API, and what is made from them.

They are not in protobuf's default pool, where TensorFlow of any version puts descriptors of the
same names: there the second to come would fail.
"""

import contextlib
import functools
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

FILE = Path(__file__).with_name("descriptors.binpb")  # a FileDescriptorSet
_PACKAGES = ("tensorflow.serving", "tensorflow", "tensorflow.error", "google.protobuf")


def make_pool() -> descriptor_pool.DescriptorPool:
    """A new pool, to which more may be added."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(FILE.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_pool = functools.cache(make_pool)


def find(name: str) -> Any:
    """A message class, an enum or a service's stub; None if there is none of this name."""
    for package in _PACKAGES:
        full_name = f"{package}.{name}"
        for look_up, searched, make in (
            (_pool().FindMessageTypeByName, full_name, GetMessageClass),
            (_pool().FindEnumTypeByName, full_name, EnumTypeWrapper),
            (_pool().FindServiceByName, full_name.removesuffix("Stub"), _make_stub),
        ):
            with contextlib.suppress(KeyError):
                return make(look_up(searched))
    return None


class _Stub:
    """Has a callable for each RPC, by its name; the channel is one of `grpc` or of `grpc.aio`."""

    service: ServiceDescriptor

    def __init__(self, channel: Any) -> None:
        for rpc in self.service.methods:
            call = channel.unary_unary(
                f"/{self.service.full_name}/{rpc.name}",
                request_serializer=GetMessageClass(rpc.input_type).SerializeToString,
                response_deserializer=GetMessageClass(rpc.output_type).FromString,
            )
            setattr(self, rpc.name, call)


def _make_stub(service: ServiceDescriptor) -> type[_Stub]:
    return type(f"{service.name}Stub", (_Stub,), {"service": service})
