"""Checks the options meant for Beam before any work starts.

Beam itself drops what it does not know with a line in a log, and prints a page of usage and exits
where a value is malformed.
"""

import contextlib
import difflib
import io
from collections.abc import Sequence

from signs.errors import UserError

# Beam downloads programs for them, Flink's for version 2.2 unless it is told another.
_OF_A_JOB_SERVER = ("flink", "spark", "portable", "prism")


class BeamOptionError(UserError):
    """An option that is neither ours nor Beam's, or has a value that Beam does not take."""


def check_beam_options(options: Sequence[str], ours: Sequence[str] = ()) -> None:
    """Checks options such as `--runner=DataflowRunner`. Without any, Beam is not even imported.

    Args:
        options: what is left of a command line, in its order.
        ours: the command's own options, to be suggested where one of them may be meant.

    Raises:
        BeamOptionError: a word that belongs to no option, an unknown option, a malformed value or
            an unknown runner.
    """
    if not options:
        return
    if not options[0].startswith("-"):
        hint = f" Did you mean --data {options[0]}?" if "--data" in ours else ""
        raise BeamOptionError(f"{options[0]!r} belongs to no option.{hint}")
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.runners.runner import create_runner

    known = set(PipelineOptions([]).get_all_options())
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed = PipelineOptions(list(options))
            unknown = set(parsed.get_all_options(retain_unknown_options=True)) - known
    except SystemExit as err:
        words = complaint.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise BeamOptionError(f"Beam does not take this option: {words}") from err
    for option in options:
        name = option.lstrip("-").partition("=")[0]
        if option.startswith("-") and name.replace("-", "_") in {
            key.replace("-", "_") for key in unknown
        }:
            near = difflib.get_close_matches(
                f"--{name}", [*ours, *(f"--{key}" for key in sorted(known))], n=1, cutoff=0.7
            )
            hint = f" Did you mean {near[0]}?" if near else ""
            if not near and "--set" in ours:
                hint = " A setting is given as --set NAME=VALUE, such as --set train.epochs=30."
            raise BeamOptionError(f"There is no option --{name}, and Beam has none.{hint}")
    runner = parsed.view_as(StandardOptions).runner
    if runner is not None:
        try:
            create_runner(runner)
        except (ImportError, ValueError, AttributeError) as err:
            raise BeamOptionError(f"--runner {runner}: {err}") from err
        if runner.lower().removesuffix("runner") in _OF_A_JOB_SERVER:
            raise BeamOptionError(
                f"--runner {runner} looks for a job server on its own: start that of your engine's "
                "version, and give --engine portable --job-endpoint HOST:PORT (docs/engines.md)"
            )
