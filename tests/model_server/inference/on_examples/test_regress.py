"""Regress, case by case: literal values, and the exact error of each."""

import pytest

from model_server.metrics import Metrics
from signs import protos
from tests.model_server.inference.conftest import NAME, VERSION, fill, refused

INVALID = "INVALID_ARGUMENT"
X2, X4 = {"x": 2.0}, {"x": 4.0, "x2": 6.0}


def request(signature, *examples, context=None):
    message = protos.RegressionRequest()
    message.model_spec.name = NAME
    message.model_spec.signature_name = signature
    fill(message.input, *examples, context=context)
    return message


def values(response):
    return [regression.value for regression in response.result.regressions]


def test_answer(service):
    response = service.regress(request("regress_x_to_y", X2, X4))
    assert values(response) == [3, 4]
    assert response.model_spec == protos.ModelSpec(
        name=NAME, signature_name="regress_x_to_y", version={"value": VERSION}
    )


def test_an_output_of_rank_1(service):
    assert values(service.regress(request("regress_x_to_y2", X2, X4))) == [2, 5]


def test_an_example_wins_over_the_context(service):
    asked = request("regress_x_to_y", {}, X4, context=X2)
    assert values(service.regress(asked)) == [3, 4]


ERRORS = {
    "unknown signature": ("no", "No signature was found with the name: no"),
    "two inputs": ("two_inputs", "Expected one input Tensor."),
    "two outputs": ("both", "Expected one output Tensor."),
    "an input that is no string": (
        "regress_x2_to_y3",
        "Expects arg[0] to be float but string is provided",
    ),
    "three columns": (
        "regress_wide",
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,3]",
    ),
    "a scalar": (
        "regress_scalar",
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got []",
    ),
    "doubles": ("regress_double", "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
    "a value for one example only": (
        "regress_of_one",
        "Input batch size did not match output batch size: 2 vs. 1",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(service, case):
    signature, message = ERRORS[case]
    assert refused(service.regress, request(signature, X2, X4)) == (INVALID, message)


@pytest.mark.parametrize(
    ("signature", "beginning"),
    [
        ("", "No regression inputs found in SignatureDef: inputs {"),
        ("classify_x_to_y", "No regression outputs found in SignatureDef: inputs {"),
    ],
)
def test_signatures_that_do_not_regress(service, signature, beginning):
    code, message = refused(service.regress, request(signature))
    assert (code, message[: len(beginning)]) == (INVALID, beginning)


@pytest.mark.parametrize("context", [None, X2])
def test_no_example(service, context):
    asked = request("regress_x_to_y", context=context)
    assert refused(service.regress, asked) == (INVALID, "Input is empty.")


def test_no_spec(service):
    asked = protos.RegressionRequest()
    assert refused(service.regress, asked) == (INVALID, "Missing ModelSpec")


def test_method_names(serve):
    strict = serve(check_method_names=True)
    assert refused(strict.regress, request("classify_x_to_y", X2)) == (
        INVALID,
        "Expected regression signature method_name to be tensorflow/serving/regress. "
        "Was: tensorflow/serving/classify",
    )
    assert values(strict.regress(request("regress_x_to_y", X2))) == [3]


def test_run_time_is_recorded(serve):
    metrics = Metrics()
    serve(metrics=metrics).regress(request("regress_x_to_y", X2))
    assert (
        ':tensorflow:serving:runtime_latency_count{model_name="m",API="Regress",runtime="TF1"} 1\n'
        in metrics.render().decode()
    )
