"""`signs keys`, `sign` and `verify`: what they tell, and their exit codes."""

from pathlib import Path

import pytest

from pipeline.commands.main import main


@pytest.fixture
def version(tmp_path: Path) -> Path:
    folder = tmp_path / "serving" / "cats" / "1"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    return folder


def test_from_keys_to_a_verified_version(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = ["--workspace", str(tmp_path)]

    def signs(*arguments: str) -> tuple[int, str]:
        code = main([*arguments, *workspace])
        captured = capsys.readouterr()
        return code, (captured.out + captured.err).replace(str(tmp_path), "W")

    assert signs("verify", str(version)) == (
        2,
        "signs: error: The public key W/keys/public.pem: No such file or directory\n",
    )
    code, told = signs("keys")
    assert code == 0
    assert "W/keys/private.pem" in told
    assert "`signs serve` loads nothing else" in told
    assert signs("keys") == (
        2,
        "signs: error: W/keys/private.pem is there already, and a key is never replaced\n",
    )
    assert signs("verify", str(version)) == (
        1,
        "signs: W/serving/cats/1 is not signed: it has no model.sig\n",
    )
    assert signs("sign", str(version)) == (0, "Wrote W/serving/cats/1/model.sig\n")
    public = str(tmp_path / "keys" / "public.pem")
    told = "W/serving/cats/1 is what was signed with the key W/keys/public.pem\n"
    assert signs("verify", str(version)) == (0, told)
    assert signs("verify", str(version), "--key", public) == (0, told)
    (version / "saved_model.pb").write_bytes(b"Graph")
    (version / "more").touch()
    assert signs("verify", str(version)) == (
        1,
        "signs: W/serving/cats/1 is not what was signed: altered: saved_model.pb; extra: more\n",
    )
    assert signs("verify", str(tmp_path / "no")) == (2, "signs: error: W/no is no folder\n")


def test_keys_that_lie_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "--to", str(tmp_path / "safe"), "--workspace", str(tmp_path)]) == 0
    assert "signs serve" not in capsys.readouterr().out
    assert not (tmp_path / "keys").exists()
    assert (tmp_path / "safe" / "private.pem").exists()
