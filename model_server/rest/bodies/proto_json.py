"""Status and metadata responses -> JSON, as protobuf's C++ `MessageToJsonString` writes it.

Python's json_format writes the same values, but fields that are not set come last there; here all
fields stand in the order of their numbers.
"""

import json

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from model_server.rest.bodies.json_reader import Json
from signs import protos


def status_body(response: protos.GetModelStatusResponse) -> bytes:
    """The answer to a status request, from a GetModelStatusResponse."""
    return _json(response).encode()


def metadata_body(response: protos.GetModelMetadataResponse) -> bytes:
    """The answer to a metadata request, from a GetModelMetadataResponse."""
    signatures = protos.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return (
        f'{{\n"model_spec":{_json(response.model_spec)},\n'
        f'"metadata": {{"signature_def": {_json(signatures)}}}\n}}\n'
    ).encode()


def _json(message: Message) -> str:
    values = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    text = json.dumps(_in_order(values, message.DESCRIPTOR), indent=1, ensure_ascii=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e") + "\n"


def _in_order(value: Json, descriptor: Descriptor) -> Json:
    """The dict of a message with its fields, and those of messages in it, in order."""
    if not isinstance(value, dict):  # google.protobuf.Int64Value is a string
        return value
    ordered: dict[str, Json] = {}
    for field in sorted(descriptor.fields, key=lambda field: field.number):
        if field.name not in value:
            continue
        content, inner = value[field.name], field.message_type
        if inner is None:
            ordered[field.name] = content
        elif inner.GetOptions().map_entry and isinstance(content, dict):
            inner = inner.fields_by_name["value"].message_type
            ordered[field.name] = {key: _in_order(item, inner) for key, item in content.items()}
        elif isinstance(content, list):
            ordered[field.name] = [_in_order(item, inner) for item in content]
        else:
            ordered[field.name] = _in_order(content, inner)
    return ordered
