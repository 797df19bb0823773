"""`signs-model-server`, as it is started: signals and streams are seen to before all else."""

import sys

from signs.command import run


def main() -> int:
    """Serves as the process's arguments say; returns its exit code."""
    return run("signs-model-server", _serve)


def _serve() -> int:
    from model_server.command import main as serve

    return serve()


if __name__ == "__main__":
    sys.exit(main())
