"""Classify, case by case: literal classes, and the exact error of each."""

import pytest

from model_server.metrics import Metrics
from signs import protos
from tests.model_server.inference.conftest import NAME, VERSION, fill, refused

INVALID = "INVALID_ARGUMENT"
X2, X4 = {"x": 2.0}, {"x": 4.0}


def request(signature, *examples, context=None):
    message = protos.ClassificationRequest()
    message.model_spec.name = NAME
    message.model_spec.signature_name = signature
    fill(message.input, *examples, context=context)
    return message


def classes(response):
    return [
        [(told.label, told.score) for told in row.classes]
        for row in response.result.classifications
    ]


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("classify_x_to_y", [[("", 3.0)], [("", 4.0)]]),
        ("classes", [[("3.0", 0.0)], [("4.0", 0.0)]]),
        ("both", [[("3.0", 3.0)], [("4.0", 4.0)]]),
        ("scores_and_other", [[("", 3.0)], [("", 4.0)]]),
    ],
)
def test_answer(service, signature, expected):
    response = service.classify(request(signature, X2, X4))
    assert classes(response) == expected
    assert response.model_spec == protos.ModelSpec(
        name=NAME, signature_name=signature, version={"value": VERSION}
    )


def test_an_example_wins_over_the_context(service):
    asked = request("classify_x_to_y", {"x2": 9.0}, X4, context=X2)
    assert classes(service.classify(asked)) == [[("", 3.0)], [("", 4.0)]]


TENSORS = "Expected one input Tensor."
ERRORS = {
    "unknown signature": ("no", INVALID, "No signature was found with the name: no"),
    "two inputs": ("two_inputs", INVALID, TENSORS),
    "three outputs": (
        "three_outputs",
        INVALID,
        "Expected one or two output Tensors, found 3",
    ),
    "scores of rank 1": (
        "scores_1d",
        INVALID,
        "Expected Tensor shape: [batch_size num_classes] but got [2]",
    ),
    "classes of rank 1": (
        "classes_1d",
        INVALID,
        "Expected Tensor shape: [batch_size num_classes] but got [2]",
    ),
    "whole scores": (
        "scores_int64",
        INVALID,
        "Expected scores Tensor of DT_FLOAT. Got: DT_INT64",
    ),
    "classes that are no strings": (
        "classes_float",
        INVALID,
        "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
    ),
    "scores of one example only": (
        "scores_of_one",
        INVALID,
        "Expected scores output batch size of 2. Got: 1",
    ),
    "classes of one example only": (
        "classes_of_one",
        INVALID,
        "Expected classes output batch size of 2. Got: 1",
    ),
    "more scores than classes": (
        "widths",
        INVALID,
        "Tensors class and score should match in dim_size(1). Got 2 vs. 3",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(service, case):
    signature, code, message = ERRORS[case]
    assert refused(service.classify, request(signature, X2, X4)) == (code, message)


@pytest.mark.parametrize(
    ("signature", "beginning"),
    [
        ("", "No classification inputs found in SignatureDef: inputs {"),
        (
            "regress_x_to_y",
            'Expected classification signature outputs to contain at least one of "classes" or '
            '"scores". Signature was: inputs {',
        ),
    ],
)
def test_signatures_that_do_not_classify(service, signature, beginning):
    # The signature comes before the examples, of which there are none.
    code, message = refused(service.classify, request(signature))
    assert (code, message[: len(beginning)]) == (INVALID, beginning)


@pytest.mark.parametrize("context", [None, X2])
def test_no_example(service, context):
    asked = request("classify_x_to_y", context=context)
    assert refused(service.classify, asked) == (INVALID, "Input is empty.")


def test_no_input(service):
    asked = request("classify_x_to_y")
    asked.ClearField("input")
    assert refused(service.classify, asked) == (INVALID, "Input is empty.")


def test_no_spec(service):
    assert refused(service.classify, protos.ClassificationRequest()) == (
        INVALID,
        "Missing ModelSpec",
    )


def test_method_names(serve):
    strict = serve(check_method_names=True)
    assert refused(strict.classify, request("regress_x_to_y", X2)) == (
        INVALID,
        "Expected classification signature method_name to be tensorflow/serving/classify. "
        "Was: tensorflow/serving/regress",
    )
    assert classes(strict.classify(request("classify_x_to_y", X2))) == [[("", 3.0)]]


def test_run_time_is_recorded_though_the_outputs_are_wrong(serve):
    metrics = Metrics()
    refused(serve(metrics=metrics).classify, request("scores_1d", X2))
    assert (
        ':tensorflow:serving:runtime_latency_count{model_name="m",API="Classify",runtime="TF1"} 1\n'
        in metrics.render().decode()
    )
