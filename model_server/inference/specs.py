"""ModelSpec: the signature that a request asks for, and who answered it.

The source is TF Serving's `util.cc` (`MakeModelSpec`).
"""

from signs import features, protos


def signature_key(spec: protos.ModelSpec) -> str:
    """The signature that a ModelSpec names; an empty name means "serving_default"."""
    return spec.signature_name or features.SERVING_DEFAULT


def fill(answered: protos.ModelSpec, asked: protos.ModelSpec, version: int) -> None:
    """Writes into the ModelSpec `answered` the model, signature and version that answered.

    A label that was asked for is not told again.
    """
    answered.name = asked.name
    answered.signature_name = signature_key(asked)
    answered.version.value = version
