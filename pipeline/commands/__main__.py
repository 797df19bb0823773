"""`signs`, as it is started: signals and streams are seen to before anything else is imported."""

import sys

from signs.command import run


def main() -> int:
    """Runs the command that the process's arguments name; returns its exit code."""
    return run("signs", _signs)


def _signs() -> int:
    from pipeline.commands.main import main as signs

    return signs()


if __name__ == "__main__":
    sys.exit(main())
