"""Keys that nobody else reads and nothing replaces."""

import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from trust.keys import KeyFileError, check_public_key, make_keys, write_public_key


def test_the_private_key_is_its_owner_s_alone(tmp_path):
    private, public = make_keys(tmp_path / "a" / "keys")
    assert private.stat().st_mode & 0o777 == 0o600
    assert private.parent.stat().st_mode & 0o777 == 0o700
    assert private.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    check_public_key(public)


@pytest.mark.parametrize("name", ["private.pem", "public.pem"])
def test_no_key_is_replaced(tmp_path, name):
    (tmp_path / name).write_text("precious")
    with pytest.raises(KeyFileError, match=rf"{name} is there already, and a key is never"):
        make_keys(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "private.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="is there already"):
        make_keys(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_openssl_s_keys_will_do(tmp_path):
    command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"]
    try:
        made = subprocess.run(command, capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl")
    (tmp_path / "private").write_bytes(made.stdout)
    write_public_key(tmp_path / "private", tmp_path / "public")
    check_public_key(tmp_path / "public")


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), None, "curve", "password"])
def test_other_keys_will_not(tmp_path, key):
    private, public = tmp_path / "private", tmp_path / "public"
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if key == "password":
        encryption = serialization.BestAvailableEncryption(b"secret")
    if isinstance(key, str):
        curve = ec.SECP256K1() if key == "curve" else ec.SECP256R1()
        key = ec.generate_private_key(curve)
    text = b"nothing"
    if key is not None:
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
    private.write_bytes(text)
    with pytest.raises(KeyFileError, match="is no "):
        write_public_key(private, public)
    public.write_bytes(text)
    with pytest.raises(KeyFileError, match="is no "):
        check_public_key(public)
    assert not (tmp_path / ".public").exists()
