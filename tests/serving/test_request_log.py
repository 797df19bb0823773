"""Reading a request log: a torn tail, damage, and what is none."""

import pytest

from serving.request_log import RequestLogError, read_log
from signs import protos
from signs.records import encode
from tests.model_server.test_request_log import asked, numbers


def record(number: int) -> bytes:
    log = protos.PredictionLog()
    log.predict_log.request.CopyFrom(asked(number))
    return encode(log.SerializeToString())


@pytest.mark.parametrize("kept", [1, 11, 12, 20])
def test_a_torn_tail_is_passed_over(tmp_path, caplog, kept):
    (tmp_path / "requests-1.tfrecord").write_bytes(record(1) + record(2)[:kept])
    (tmp_path / "requests-2.tfrecord").write_bytes(record(3))
    assert numbers(tmp_path) == [1, 3]
    assert numbers(tmp_path / "requests-1.tfrecord") == [1]
    assert not caplog.records  # a writer that is at work, or was killed, has done no damage


@pytest.mark.parametrize("damage", [bytes(100), encode(b"\xff\xff\xff")])
def test_damage_is_told_and_the_next_file_is_read(tmp_path, caplog, damage):
    (tmp_path / "requests-1.tfrecord").write_bytes(record(1) + damage + record(2))
    (tmp_path / "requests-2.tfrecord").write_bytes(record(3))
    assert numbers(tmp_path) == [1, 3]
    assert numbers(tmp_path / "requests-1.tfrecord") == [1]
    assert f"{tmp_path}/requests-1.tfrecord: " in caplog.text


def test_no_log(tmp_path):
    (tmp_path / "page.html").write_text("<html>hello</html>")
    for path, text in (
        (tmp_path, f"{tmp_path}: no request log there."),
        (tmp_path / "x", f"{tmp_path / 'x'}: no request log there."),
        (
            tmp_path / "page.html",
            f"{tmp_path}/page.html: no request log: "
            "corrupted record at 0 (Is this even a TFRecord file?)",
        ),
    ):
        with pytest.raises(RequestLogError) as caught:
            list(read_log(path))
        assert str(caught.value) == text
