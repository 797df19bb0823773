import pytest

from signs.litter import litter


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (".DS_Store", ".DS_Store"),
        ("a/Thumbs.db", "Thumbs.db"),
        ("__MACOSX/a/._1.jpg", "__MACOSX"),
        ("a/._1.jpg", "hidden"),
        (".git/config", "hidden"),
        ("a/desktop.ini", "hidden"),
        ("a/1.jpg", None),
        ("../1.jpg", None),
    ],
)
def test_litter(path, kind):
    assert litter(tuple(path.split("/"))) == kind
