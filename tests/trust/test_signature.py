"""Nothing but what was signed verifies: a file more or less, a bit, a name, another key."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from benchmarks.signatures import MUTATIONS, mutate_many
from trust.keys import KeyFileError, make_keys
from trust.signature import SIGNATURE, SignatureError, sign, verify


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def signed(tmp_path, keys):
    folder = tmp_path / "7"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    (folder / "empty").write_bytes(b"")
    sign(folder, keys[0])
    return folder


def refused(folder, keys) -> str:
    with pytest.raises(SignatureError) as caught:
        verify(folder, keys[1])
    return str(caught.value).replace(str(folder), "F")


def test_what_was_signed_verifies_wherever_it_lies(signed, keys, tmp_path):
    verify(signed, keys[1])
    verify(shutil.copytree(signed, tmp_path / "elsewhere"), keys[1])
    (tmp_path / "link").symlink_to(signed)
    verify(tmp_path / "link", keys[1])


def test_each_difference_is_named(signed, keys):
    (signed / "saved_model.pb").write_bytes(b"grapH")
    (signed / "variables" / "variables.index").unlink()
    (signed / ".git").mkdir()
    (signed / ".git" / "config").write_bytes(b"")
    assert refused(signed, keys) == (
        "F is not what was signed: altered: saved_model.pb; missing: variables/variables.index; "
        "extra: .git/config"
    )


def test_many_differences_are_counted(signed, keys):
    for number in range(8):
        (signed / f"more-{number}").touch()
    assert refused(signed, keys).endswith(
        "extra: more-0, more-1, more-2, more-3, more-4 and 3 more"
    )


def test_without_a_signature(signed, keys):
    (signed / SIGNATURE).unlink()
    assert refused(signed, keys) == "F is not signed: it has no model.sig"
    assert refused(signed / "nowhere", keys).endswith("is no folder")


def test_of_another_key(signed, tmp_path, keys):
    _, other = make_keys(tmp_path / "other")
    assert "Key mismatch" in refused(signed, (None, other))


def test_links_and_devices_are_not_files(signed, keys):
    graph = signed / "saved_model.pb"
    graph.rename(signed.parent / "same")
    graph.symlink_to(signed.parent / "same")
    assert refused(signed, keys).endswith("is a link; a signature is for files and folders alone")
    graph.unlink()
    os.mkfifo(graph)
    assert refused(signed, keys) == "F/saved_model.pb is neither a file nor a folder"
    with pytest.raises(SignatureError, match="neither a file"):
        sign(signed, keys[0])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "JSONDecodeError"),
        (b"{}", "KeyError"),
        (b"[" * 100_000, "RecursionError"),
        (b"\xff\xfe", "UnicodeDecodeError"),
        (b'{"dsseEnvelope":1,"verificationMaterial":[]}', "TypeError"),
    ],
)
def test_what_is_no_signature(signed, keys, text, why):
    (signed / SIGNATURE).write_bytes(text)
    assert f"model.sig is no signature ({why}" in refused(signed, keys)


def test_a_signature_too_large_is_not_read(signed, keys):
    with (signed / SIGNATURE).open("r+b") as file:
        file.truncate(2**40)
    assert "has more than 16777216 bytes" in refused(signed, keys)


def test_a_signature_that_hides_its_key(signed, keys):
    """The library would verify it, with a warning."""
    bundle = json.loads((signed / SIGNATURE).read_text())
    del bundle["verificationMaterial"]["publicKey"]["hint"]
    (signed / SIGNATURE).write_text(json.dumps(bundle, separators=(",", ":")))
    assert "KeyError: 'hint'" in refused(signed, keys)


def test_what_is_not_signed_of_a_signature_has_one_spelling(signed, keys):
    text = (signed / SIGNATURE).read_text()
    for old, new in (
        ('"keyid":""', '"keyid":"x"'),
        ('"tlogEntries":[]', '"tlogEntries":[],"x":1'),
        (',"dsseEnvelope"', ', "dsseEnvelope"'),
        ('"mediaType"', '"mediaType":"","mediaType"'),
        ("}]}}", "}]}}\n"),
    ):
        assert text.count(old) == 1
        (signed / SIGNATURE).write_text(text.replace(old, new))
        assert "ValueError: model.sig has been changed" in refused(signed, keys), new


def test_what_a_signature_says_to_ignore_counts_all_the_same(signed, keys):
    from model_signing import hashing, signing

    lenient = hashing.Config().set_ignored_paths(paths=[SIGNATURE, "variables"])
    signer = signing.Config().use_elliptic_key_signer(private_key=keys[0])
    signer.set_hashing_config(lenient).sign(signed, signed / SIGNATURE)
    assert refused(signed, keys).endswith("extra: variables/variables.index")


def test_a_key_that_is_none(signed, keys, tmp_path):
    for content, why in ((None, "No such file"), (b"x", "is no public key")):
        if content:
            (tmp_path / "key").write_bytes(content)
        with pytest.raises(KeyFileError, match=why):
            verify(signed, tmp_path / "key")
    with pytest.raises(SignatureError, match="cannot be signed by"):
        sign(signed, keys[1])


def test_the_openssf_s_own_tool_checks_our_signatures_and_we_check_its(signed, keys):
    def tool(*arguments):
        command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    check = ["verify", "key", signed, "--signature", signed / SIGNATURE, "--public_key", keys[1]]
    done = tool(*check)
    assert (done.returncode, done.stdout.strip()) == (0, "Verification succeeded")
    (signed / "saved_model.pb").write_bytes(b"other")
    done = tool(*check)
    assert done.returncode == 1
    assert "Hash mismatch for" in done.stderr
    (signed / SIGNATURE).unlink()
    done = tool("sign", "key", signed, "--signature", signed / SIGNATURE, "--private_key", keys[0])
    assert done.returncode == 0, done.stderr
    verify(signed, keys[1])


def test_no_changed_copy_verifies(tmp_path):
    """`benchmarks/signatures.py` does it a hundred thousand times."""
    tried, accepted = mutate_many(8 * len(MUTATIONS), seed=1, folder=tmp_path)
    assert set(tried) == set(MUTATIONS)
    assert sum(tried.values()) == 8 * len(MUTATIONS)
    assert accepted == []
