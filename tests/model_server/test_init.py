"""The seam to the pipeline: two names, imported when they are asked for."""

import subprocess
import sys

import pytest

import model_server
from model_server.command import main
from model_server.process import ServerProcess


def test_the_two_names():
    assert (model_server.main, model_server.ServerProcess) == (main, ServerProcess)
    with pytest.raises(AttributeError, match="'model_server' has no attribute 'Other'"):
        model_server.Other  # noqa: B018


def test_importing_the_package_imports_nothing_else():
    code = "import model_server, sys; print({'grpc', 'numpy', 'signs'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
