"""GetModelMetadata: the signatures, and what is checked before the model is looked up."""

import pytest

from signs import protos
from tests.model_server.conftest import REGRESS
from tests.model_server.inference.conftest import NAME, VERSION, refused

INVALID = "INVALID_ARGUMENT"


def request(*fields, name=NAME, **spec):
    return protos.GetModelMetadataRequest(model_spec={"name": name, **spec}, metadata_field=fields)


@pytest.mark.parametrize("fields", [["signature_def"], ["signature_def", "signature_def"]])
def test_answer(service, fields):
    response = service.get_model_metadata(request(*fields, signature_name="no"))
    assert response.model_spec == protos.ModelSpec(name=NAME, version={"value": VERSION})
    assert list(response.metadata) == ["signature_def"]
    url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    assert response.metadata["signature_def"].type_url == url
    signatures = protos.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    regress = signatures.signature_def["regress_x_to_y"]
    assert (regress.method_name, regress.inputs["inputs"].name) == (REGRESS, "tf_example:0")
    assert signatures.signature_def["with_default"].defaults["plus"].float_val == [10]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (protos.GetModelMetadataRequest(metadata_field=["signature_def"]), "Missing ModelSpec"),
        (
            request(name="nobody"),
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (request("signature_def", "x", name="nobody"), "Metadata field x is not supported"),
        (request("signature_def", name=""), "ModelSpec has no name specified."),
    ],
)
def test_errors(service, asked, message):
    assert refused(service.get_model_metadata, asked) == (INVALID, message)
