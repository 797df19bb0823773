"""The examples of the client's README run as they stand there, against a real server."""

import re
import subprocess
import sys

import pytest

from tests import ROOT
from tests.served import GREEN

EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "signs/README.md").read_text(), re.DOTALL)
PRINTED = (
    "photos/a.png green 0.9",
    "1\n",
    "",
    "('red', 'green', 'blue')\n{'green': 0.9",
    "model_version_status",
)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(number, server, rest_port, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(GREEN)
    code = EXAMPLES[number].replace("127.0.0.1:8500", server.address)
    code = code.replace("127.0.0.1:8501", f"127.0.0.1:{rest_port}")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    expected = (
        "photos/a.png green 0.9",
        "1\n",
        "",
        "('red', 'green', 'blue')\n{'green': 0.9",
        "model_",
    )
    assert done.stdout.startswith(expected[number])


def test_every_example_is_run():
    assert len(EXAMPLES) == 5
