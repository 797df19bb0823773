"""ModelSpecs as they are asked and answered."""

from model_server.inference import specs
from signs import protos


def test_an_empty_signature_name_means_the_default():
    assert specs.signature_key(protos.ModelSpec()) == "serving_default"
    assert specs.signature_key(protos.ModelSpec(signature_name="classify")) == "classify"


def test_who_answered():
    asked = protos.ModelSpec(name="m", version_label="stable")
    answered = protos.ModelSpec()
    specs.fill(answered, asked, 7)
    expected = protos.ModelSpec(name="m", signature_name="serving_default")
    expected.version.value = 7
    assert answered == expected
