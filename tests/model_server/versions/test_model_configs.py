"""Which lists of models are refused, with which words."""

import pytest
from google.protobuf import text_format

from model_server.errors import RequestError
from model_server.versions import model_configs
from signs import protos

TENSORFLOW = 'model_platform: "tensorflow"'


def models(*texts: str) -> list:
    config = protos.ModelServerConfig()
    for text in texts:
        text_format.Parse(text, config.model_config_list.config.add())
    return list(config.model_config_list.config)


def refusal(check, *args, **options) -> tuple[str, str] | None:
    try:
        check(*args, **options)
    except RequestError as error:
        return error.code.name, str(error)
    return None


NO_TRANSITION = (
    "FAILED_PRECONDITION",
    "Cannot transition to requested config. It is only legal to transition from one "
    "ModelConfigList to another.",
)


@pytest.mark.parametrize(
    ("text", "is_first", "refused"),
    [
        ("model_config_list {}", True, None),
        ("model_config_list {}", False, None),
        ("", False, NO_TRANSITION),
        ("custom_model_config {}", False, NO_TRANSITION),
        (
            "custom_model_config {}",
            True,
            ("INVALID_ARGUMENT", "ModelServer does not yet support custom model config."),
        ),
    ],
)
def test_kind(text, is_first, refused):
    config = text_format.Parse(text, protos.ModelServerConfig())
    assert refusal(model_configs.check_kind, config, is_first=is_first) == refused


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("/a", True),
        ("/", True),
        ("gs://bucket/a", True),
        ("x.2://", True),
        ("", False),
        ("a", False),
        ("./a", False),
        ("://a", False),
        ("2x://a", False),
    ],
)
def test_paths_are_absolute(path, accepted):
    text = f"Expected model m to have an absolute path or URI; got base_path()={path}"
    listed = models(f'name: "m" base_path: "{path}"')
    assert refusal(model_configs.check_list, listed) == (
        None if accepted else ("INVALID_ARGUMENT", text)
    )


def test_the_whole_list_is_looked_at_for_duplicates_first():
    listed = models('name: "a" base_path: "rel"', 'name: "b"', 'name: "b"')
    assert refusal(model_configs.check_list, listed) == (
        "INVALID_ARGUMENT",
        "Illegal to list model b multiple times in config list",
    )


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (TENSORFLOW, None),
        ("model_type: TENSORFLOW", None),
        ("model_type: 1", None),
        ("model_type: OTHER", "ModelServerConfig::model_type choice 2 not supported."),
        (
            f"model_type: TENSORFLOW {TENSORFLOW}",
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            "ModelServerConfig::model_platform, model name is m",
        ),
        (
            "",
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is m",
        ),
        ('model_platform: "caffe"', "Model m requests unsupported platform caffe"),
    ],
)
def test_platforms(text, refused):
    listed = models(f'name: "m" {text}')
    assert refusal(model_configs.check_platforms, listed) == (
        ("INVALID_ARGUMENT", refused) if refused else None
    )
    assert refusal(model_configs.check_same_platforms, listed, {"other"}) is None


def test_a_model_keeps_its_platform():
    listed = models('name: "m" model_platform: "caffe"')
    assert refusal(model_configs.check_same_platforms, listed, {"m"}) == (
        "INVALID_ARGUMENT",
        "Illegal to change a model's platform. For model m platform was tensorflow and new "
        "platform requested is caffe",
    )
    assert (
        refusal(model_configs.check_same_platforms, models(f'name: "m" {TENSORFLOW}'), {"m"})
        is None
    )


def test_logging_config():
    assert refusal(model_configs.check_logging, models('name: "m"')) is None
    listed = models('name: "l"', 'name: "m" logging_config {}')
    assert refusal(model_configs.check_logging, listed) == (
        "INVALID_ARGUMENT",
        "No request-logger-creator provided.",
    )
