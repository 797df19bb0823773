"""MultiInference, case by case: literal results, and the exact error of each."""

import pytest

from model_server.metrics import Metrics
from signs import protos
from tests.model_server.conftest import CLASSIFY, PREDICT, REGRESS
from tests.model_server.inference.conftest import NAME, VERSION, fill, refused

INVALID = "INVALID_ARGUMENT"
X2, X4 = {"x": 2.0}, {"x": 4.0, "x2": 6.0}
CLASSIFIES = (NAME, "classify_x_to_y", CLASSIFY)
REGRESSES = (NAME, "regress_x_to_y", REGRESS)
REGRESSES_2 = (NAME, "regress_x_to_y2", REGRESS)


def request(*tasks, examples=(X2, X4)):
    message = protos.MultiInferenceRequest()
    for name, signature, method in tasks:
        task = message.tasks.add(method_name=method)
        task.model_spec.name = name
        task.model_spec.signature_name = signature
    fill(message.input, *examples)
    return message


def told(result):
    if result.HasField("regression_result"):
        return [regression.value for regression in result.regression_result.regressions]
    return [
        [(c.label, c.score) for c in row.classes]
        for row in result.classification_result.classifications
    ]


def test_answer(service):
    results = service.multi_inference(request(REGRESSES, CLASSIFIES, REGRESSES_2)).results
    assert [told(result) for result in results] == [[3, 4], [[("", 3)], [("", 4)]], [2, 5]]
    assert [result.model_spec for result in results] == [
        protos.ModelSpec(name=NAME, signature_name=signature, version={"value": VERSION})
        for signature in ("regress_x_to_y", "classify_x_to_y", "regress_x_to_y2")
    ]


def test_only_the_first_task_chooses_the_version(service):
    asked = request(REGRESSES, CLASSIFIES)
    asked.tasks[1].model_spec.version.value = 9
    assert len(service.multi_inference(asked).results) == 2
    asked.tasks[0].model_spec.version.value = 9
    assert refused(service.multi_inference, asked)[0] == "NOT_FOUND"


ERRORS = {
    "no task": (request(), INVALID, "ModelSpec has no name specified."),
    "no name": (request(("", "", REGRESS)), INVALID, "ModelSpec has no name specified."),
    "no name in the second task": (
        request(REGRESSES, ("", "classify_x_to_y", CLASSIFY)),
        INVALID,
        "Found ModelSpec with an empty model name.",
    ),
    "another name in the second task": (
        request(REGRESSES, ("n", "classify_x_to_y", CLASSIFY)),
        INVALID,
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    ),
    "the same signature twice": (
        request(REGRESSES, (NAME, "regress_x_to_y", CLASSIFY)),
        INVALID,
        "Duplicate evaluation of signature: regress_x_to_y",
    ),
    "an unknown signature": (
        request((NAME, "no", "no")),
        INVALID,
        "Requested signature not found in model graph: no",
    ),
    "predict": (
        request((NAME, "", PREDICT)),
        "UNIMPLEMENTED",
        "Unsupported signature method_name: tensorflow/serving/predict",
    ),
    "no method": (
        request((NAME, "", "")),
        "UNIMPLEMENTED",
        "Unsupported signature method_name: ",
    ),
    "a signature that does not classify": (
        request((NAME, "three_outputs", CLASSIFY)),
        INVALID,
        "Expected one or two output Tensors, found 3",
    ),
    "a signature that does not regress": (
        request(REGRESSES, (NAME, "both", REGRESS)),
        INVALID,
        "Expected one output Tensor.",
    ),
    "no example": (request(REGRESSES, examples=()), INVALID, "Input is empty."),
    "a tensor that takes no examples": (
        request(REGRESSES, (NAME, "regress_x2_to_y3", REGRESS)),
        INVALID,
        "Expects arg[1] to be float but string is provided",
    ),
    "outputs of the wrong shape": (
        request(REGRESSES, (NAME, "scores_1d", CLASSIFY)),
        INVALID,
        "Expected Tensor shape: [batch_size num_classes] but got [2]",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(service, case):
    asked, code, message = ERRORS[case]
    assert refused(service.multi_inference, asked) == (code, message)


def test_method_names(serve):
    asked = request((NAME, "classify_x_to_y", CLASSIFY), (NAME, "regress_x_to_y", CLASSIFY))
    assert refused(serve(check_method_names=True).multi_inference, asked) == (
        INVALID,
        "Expected classification signature method_name to be tensorflow/serving/classify. "
        "Was: tensorflow/serving/regress",
    )


def test_examples_are_counted(serve):
    metrics = Metrics()
    serve(metrics=metrics).multi_inference(request(REGRESSES, CLASSIFIES))
    page = metrics.render().decode()
    assert ':tensorflow:serving:request_example_count_total{model="m"} 2\n' in page
    assert "runtime_latency_count{" not in page
