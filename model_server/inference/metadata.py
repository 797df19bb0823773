"""GetModelMetadata: the signatures of a version.

The checks, their order and their words are those of TF Serving's `get_model_metadata_impl.cc`.
"""

from model_server.errors import InvalidArgumentError
from model_server.servable import Lease
from signs import protos

_SIGNATURE_DEF = "signature_def"


def check(request: protos.GetModelMetadataRequest) -> None:
    """What is wrong with a GetModelMetadataRequest is told before its model is looked up.

    Raises:
        InvalidArgumentError: no spec, no field, or a field other than "signature_def".
    """
    if not request.HasField("model_spec"):
        raise InvalidArgumentError("Missing ModelSpec")
    if not request.metadata_field:
        raise InvalidArgumentError(
            "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in request.metadata_field:
        if field != _SIGNATURE_DEF:
            raise InvalidArgumentError(f"Metadata field {field} is not supported")


def answer(
    request: protos.GetModelMetadataRequest, lease: Lease
) -> protos.GetModelMetadataResponse:
    """Tells the signatures of a version.

    Args:
        request: a GetModelMetadataRequest that `check` let pass.
        lease: the loaded version that answers.

    Returns:
        A GetModelMetadataResponse with a SignatureDefMap in its Any.
    """
    response = protos.GetModelMetadataResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = lease.version
    signatures = protos.SignatureDefMap(signature_def=lease.servable.signature_defs)
    response.metadata[_SIGNATURE_DEF].Pack(signatures)
    return response
