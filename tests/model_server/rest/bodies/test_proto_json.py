"""Status and metadata as protobuf's C++ writes them: fields in the order of their numbers."""

from model_server.rest.bodies.proto_json import metadata_body, status_body
from signs import protos


def test_status():
    response = protos.GetModelStatusResponse()
    response.model_version_status.add(version=2**40, state="END").status.error_message = "<no>"
    assert status_body(response).decode() == (
        '{\n "model_version_status": [\n  {\n   "version": "1099511627776",\n   "state": "END",\n'
        '   "status": {\n    "error_code": "OK",\n    "error_message": "\\u003cno\\u003e"\n'
        "   }\n  }\n ]\n}\n"
    )


def test_metadata():
    response = protos.GetModelMetadataResponse(model_spec={"name": "m"})
    response.model_spec.version.value = 3
    signatures = protos.SignatureDefMap()
    signatures.signature_def["s"].inputs["x"].name = "x:0"
    response.metadata["signature_def"].Pack(signatures)
    text = metadata_body(response).decode()
    assert text.startswith(
        '{\n"model_spec":{\n "name": "m",\n "version": "3",\n "signature_name": ""\n}\n,\n'
        '"metadata": {"signature_def": {\n "signature_def": {\n  "s": {\n   "inputs": {\n'
        '    "x": {\n'
    )
    assert text.index('"name": "x:0"') < text.index('"dtype"')
