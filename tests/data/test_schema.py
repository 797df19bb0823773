from google.protobuf import text_format

from data.schema import schema_path
from data.statistics.measure import NUMBERS, WORDS
from signs import features


def test_schema_describes_the_examples():
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = text_format.Parse(schema_path().read_text(), schema_pb2.Schema())
    derived = [one for one in schema.feature if one.HasField("validation_derived_source")]
    assert {one.name for one in derived} == {*NUMBERS, *WORDS}
    for one in derived:  # else Transform would look for it in the Examples
        assert one.lifecycle_stage == schema_pb2.VALIDATION_DERIVED
        assert one.HasField("drift_comparator")
    by_name = {one.name: one for one in schema.feature if one not in derived}
    assert set(by_name) == {
        features.IMAGE,
        features.LABEL,
        features.CLASS_NAME,
        features.SOURCE_ID,
        features.SPLIT,
    }
    for feature in by_name.values():
        assert feature.presence.min_fraction == 1
        assert [dim.size for dim in feature.shape.dim] == [1]
    assert by_name[features.IMAGE].HasField("image_domain")
    assert by_name[features.LABEL].int_domain.min == 0
    assert tuple(schema.string_domain[0].value) == features.SPLITS
