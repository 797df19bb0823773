"""Transform's graph, as TFX's Transform writes it, and a way to train without its slow start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

IMAGE_SIZE = 16


@pytest.fixture(scope="session")
def transform_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real Transform graph for images of IMAGE_SIZE pixels a side."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tensorflow_transform import TFTransformOutput, impl_helper
    from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils

    from data.schema import schema_path
    from modules.preprocessing import preprocessing_fn

    schema = text_format.Parse(schema_path().read_text(), schema_pb2.Schema())
    specs = schema_utils.schema_as_feature_spec(schema).feature_spec
    folder = tmp_path_factory.mktemp("transform_graph")
    metadata_io.write_metadata(
        dataset_metadata.DatasetMetadata(schema), str(folder / TFTransformOutput.RAW_METADATA_DIR)
    )
    impl_helper.analyze_in_place(
        lambda inputs: preprocessing_fn(inputs, {"image_size": IMAGE_SIZE}),
        False,
        specs,
        impl_helper.get_type_specs_from_feature_specs(specs),
        str(folder),
    )
    return folder


@pytest.fixture(scope="module")
def quick_changes() -> Iterator[None]:
    """For tests of what is around a training: see tests/modules/dark_and_bright.py."""
    from tests.modules import dark_and_bright

    with dark_and_bright.quick_changes():
        yield
