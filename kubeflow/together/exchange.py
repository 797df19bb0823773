"""The folder on the claim by which the Trainer's step and the workers of its job exchange files.

    <checkpoints>/<16 digits>/arguments.json, inputs/   from the step
                              model/, model_run/, done  from the chief
                              log                       likewise: what it tells of the training
                              error-N, lost-N           from worker N, where it failed

It lies where unfinished trainings lie, and goes as they do: when the training is done, or by
`signs prune`.
"""

import glob
import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.training.errors import TrainingError, WorkerLostError
from signs import durable

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

ARGUMENTS = "arguments.json"

_MODEL = "model/Format-Serving"
_RUN = "model_run"
_DONE = "done"
# A network file system may tell one machine of another's files only after a while.
_SEEN_WITHIN_S = 120.0
_PAUSE_S = 1.0


@dataclass(frozen=True)
class Exchange:
    """One training's folder, at the same place in every pod."""

    folder: Path

    @classmethod
    def of(cls, fn_args: "FnArgs", checkpoints: str) -> "Exchange":
        """That of a step: each attempt has the same, and no other step has it.

        Args:
            fn_args: TFX's; where a step's model goes has the run and the step in it.
            checkpoints: the folder of unfinished trainings.
        """
        name = hashlib.sha256(fn_args.serving_model_dir.encode()).hexdigest()[:16]
        return cls(Path(checkpoints, name))

    @property
    def log(self) -> Path:
        """What the chief tells of the training."""
        return self.folder / "log"

    # --- The step ---------------------------------------------------------------------------------

    def hand_over(self, fn_args: "FnArgs") -> Path:
        """Puts there what `run_fn` reads, so far as an earlier attempt has not.

        Returns:
            The file that tells the workers of it.
        """
        inputs = self.folder / "inputs"
        inputs.mkdir(parents=True, exist_ok=True)
        for left in (*self.folder.glob("error-*"), *self.folder.glob("lost-*")):
            left.unlink()
        for left in (self.folder / _DONE, self.log):
            left.unlink(missing_ok=True)
        for left in (self.folder / "model", self.folder / _RUN):
            shutil.rmtree(left, ignore_errors=True)
        patterns = {
            pattern: _files(pattern, inputs / f"files-{number}")
            for number, pattern in enumerate(
                dict.fromkeys([*fn_args.train_files, *fn_args.eval_files])
            )
        }
        base_model = fn_args.base_model
        arguments = {
            "train_files": [patterns[pattern] for pattern in fn_args.train_files],
            "eval_files": [patterns[pattern] for pattern in fn_args.eval_files],
            "num_examples": fn_args.num_examples,
            "transform_graph_path": _tree(fn_args.transform_graph_path, inputs / "transform_graph"),
            "base_model": _tree(base_model, inputs / "base_model") if base_model else None,
            "hyperparameters": fn_args.hyperparameters,
            "serving_model_dir": str(self.folder / _MODEL),
            "model_run_dir": str(self.folder / _RUN),
            "custom_config": fn_args.custom_config,
        }
        path = self.folder / ARGUMENTS
        durable.write_text(path, json.dumps(arguments, indent=1))
        return path

    def take(self, fn_args: "FnArgs") -> None:
        """Makes the chief's model the step's own.

        Raises:
            TrainingError: there is none.
        """
        deadline = time.monotonic() + _SEEN_WITHIN_S
        while not (self.folder / _DONE).exists():
            if time.monotonic() > deadline:
                raise TrainingError(
                    f"the workers have ended well, and have left no model in {self.folder}: do they"
                    " have the claim of the step, at the same place?"
                )
            time.sleep(_PAUSE_S)
        for made, wanted in (
            # With the copies in another precision, which lie beside it.
            ((self.folder / _MODEL).parent, Path(fn_args.serving_model_dir).parent),
            (self.folder / _RUN, fn_args.model_run_dir),
        ):
            shutil.copytree(made, wanted, dirs_exist_ok=True)

    def error(self) -> str | None:
        """Why the workers failed, as they say: the first whose own fault it was."""
        for path in (*sorted(self.folder.glob("error-*")), *sorted(self.folder.glob("lost-*"))):
            return f"worker {path.name.rpartition('-')[2]}: {path.read_text().strip()}"
        return None

    def remove(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- A worker ---------------------------------------------------------------------------------

    def arguments(self) -> dict[str, Any]:
        """What `hand_over` wrote."""
        read: dict[str, Any] = json.loads((self.folder / ARGUMENTS).read_text())
        return read

    def begin(self, worker: int) -> None:
        """Forgets why this worker failed before."""
        for kind in ("error", "lost"):
            (self.folder / f"{kind}-{worker}").unlink(missing_ok=True)

    def fail(self, worker: int, error: Exception, words: str) -> None:
        """Says why this worker fails: by itself, or for want of another."""
        kind = "lost" if isinstance(error, WorkerLostError) else "error"
        durable.write_text(self.folder / f"{kind}-{worker}", words)

    def done(self) -> None:
        """Says that all is written; only the chief does."""
        durable.write_text(self.folder / _DONE, "")


def _files(pattern: str, folder: Path) -> str:
    """Copies the files of a pattern; the pattern of the copies."""
    folder.mkdir(exist_ok=True)
    for name in sorted(glob.glob(pattern)):  # noqa: PTH207 - an absolute pattern
        _copy(name, str(folder / Path(name).name))
    return str(folder / "*")


def _tree(source: str, target: Path) -> str:
    shutil.copytree(source, target, copy_function=_copy, dirs_exist_ok=True)
    return str(target)


def _copy(source: str, target: str) -> str:
    """Copies what an earlier attempt has not, or has in part."""
    there = Path(target)
    if not there.exists() or there.stat().st_size != Path(source).stat().st_size:
        shutil.copyfile(source, target)
    return target
