"""A blessed model in; a version under the serving base path out.

The stock executor writes into the version's folder and copies `saved_model.pb` last. Killed on the
way, it leaves a folder that is no model, for ever, and while the last copy runs a model server may
read half a file. Here the version is written aside, synced, and renamed, by one push at a time. A
model that is already the newest version is not pushed again, so that the step may be repeated at
will; what is only written beside it makes no other model. Before a version appears, it has the
run's page (`CARD`) and what it is made from (`trust.provenance`, `trust.bill`), and where there are
keys it is signed: `model.sig` covers all of its files.
"""

import filecmp
import logging
import shutil
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.pusher import executor as stock
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, json_utils, path_utils, proto_utils

from components.baseline import NEWEST_PUSHED
from signs import durable
from signs.versions import version_folders
from trust.bill import BILL, write_bill
from trust.keys import PRIVATE, PUBLIC
from trust.provenance import STATEMENT, Origin, write_statement
from trust.signature import SIGNATURE, SignatureError, sign, verify

LOGGER = logging.getLogger(__name__)

# Model servers look at folders with numeric names alone.
_LOCK, _STAGING_PREFIX = ".lock", ".pushing-"
REPORT = "report"  # the input whose page is the model card
CARD = "assets.extra/model_card.html"  # of a version: model servers pass over that folder
_HAS_MODEL = "has_model"  # of an InfraBlessing
# Of Pusher's custom_config: the folder with the keys that sign, and an `Origin` as JSON.
KEYS, ORIGIN = "keys", "origin"
# What a version has beside the model's own files.
_ADDED = frozenset((SIGNATURE, CARD, STATEMENT, BILL))


class Executor(stock.Executor):
    """Pushes to a folder of a local (or mounted) file system."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the model if Evaluator and the infrastructure check have blessed it.

        Raises:
            OSError: the model cannot be written, for example since the disk is full, or its file
                system has no locks; nothing of it is left under the base path then.
            UserError: it cannot be signed; nor is anything left.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.PUSHED_MODEL_KEY]
        )
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(
            exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination
        )
        model = self.GetModelPath(input_dict)
        custom = json_utils.loads(exec_properties.get("custom_config") or "null") or {}
        blessings = input_dict.get(standard_component_specs.MODEL_BLESSING_KEY) or []
        try:
            version = publish(
                Path(model),
                Path(destination.filesystem.base_directory),
                Path(custom[KEYS]) if custom.get(KEYS) else None,
                card=_card(input_dict),
                origin=Origin.from_json(custom[ORIGIN]) if custom.get(ORIGIN) else None,
                run_id=getattr(self._context, "pipeline_run_id", None) or "",
                newest=sum(one.get_int_custom_property(NEWEST_PUSHED) for one in blessings) or None,
            )
        except NewerPushedError as err:
            LOGGER.warning("nothing is pushed: %s", err)
            self._MarkNotPushed(pushed)
            return
        io_utils.copy_dir(model, pushed.uri)
        self._MarkPushed(pushed, pushed_destination=str(version), pushed_version=version.name)

    def GetModelPath(  # noqa: N802 - TFX's name
        self, input_dict: dict[str, list[types.Artifact]]
    ) -> str:
        """The model that the infrastructure check has stamped, where it has; else the candidate."""
        stamped = input_dict.get(standard_component_specs.INFRA_BLESSING_KEY)
        if stamped and stamped[0].get_int_custom_property(_HAS_MODEL):
            return str(path_utils.stamped_model_path(stamped[0].uri))
        return str(super().GetModelPath(input_dict))


class NewerPushedError(Exception):
    """Another run has pushed a version that this model was not compared with."""


def _card(input_dict: dict[str, list[types.Artifact]]) -> Path | None:
    """The page that goes along with the model, where there is one."""
    for report in input_dict.get(REPORT, []):
        page = Path(report.uri) / Path(CARD).name
        return page if page.is_file() else None
    return None


def publish(
    model: Path,
    base: Path,
    keys: Path | None = None,
    *,
    card: Path | None = None,
    origin: Origin | None = None,
    run_id: str = "",
    newest: int | None = None,
) -> Path:
    """Copies a SavedModel to a new version under the base path, in one visible step.

    Waits while another push to the same base path is under way.

    Args:
        model: folder of the SavedModel.
        base: the base path that model servers poll.
        keys: folder of the keys that sign it; None signs nothing.
        card: the page that goes along as CARD; None for none.
        origin: what it is made from, to be written into the version; None writes nothing.
        run_id: of the run that pushes it.
        newest: the newest version when the model was judged; None does not ask for it.

    Raises:
        NewerPushedError: another model was pushed since.

    Returns:
        The version's folder, which has its number for a name: the first is 1, and each newer one
        has the number after the largest. If the newest version is this model to the byte, it is the
        newest version's, which is signed if it was not.
    """
    base.mkdir(parents=True, exist_ok=True)
    with durable.lock(base / _LOCK):
        try:
            return _publish_alone(model, base, keys, card, origin, run_id, newest)
        finally:
            (base / _LOCK).unlink(missing_ok=True)  # only versions lie there between pushes


def _publish_alone(
    model: Path,
    base: Path,
    keys: Path | None,
    card: Path | None,
    origin: Origin | None,
    run_id: str,
    newest: int | None,
) -> Path:
    for leftover in base.glob(f"{_STAGING_PREFIX}*"):  # of a push that was killed
        shutil.rmtree(leftover)
    pushed = dict(version_folders(base))
    if pushed and is_same(model, pushed[max(pushed)]):
        return _signed(pushed[max(pushed)], keys)
    if newest is not None and max([0, *pushed]) > newest:
        raise NewerPushedError(
            f"version {max(pushed)} was pushed while this run was under way, and the model was "
            f"judged when {newest} was the newest; the next run compares with it"
        )
    number = max([0, *pushed]) + 1
    staging = base / f"{_STAGING_PREFIX}{number}"
    try:
        # A signature tells the name of its folder: so that is the version's already.
        shutil.copytree(model, staging / str(number))
        if card is not None:
            (staging / str(number) / CARD).parent.mkdir(exist_ok=True)
            shutil.copyfile(card, staging / str(number) / CARD)
        if origin is not None:
            write_bill(staging / str(number), str(number), origin)
            write_statement(staging / str(number), origin, run_id)
        durable.publish_folder(_signed(staging / str(number), keys), base / str(number))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return base / str(number)


def _signed(version: Path, keys: Path | None) -> Path:
    """Signs a version, unless its signature is good."""
    if keys is not None:
        try:
            verify(version, keys / PUBLIC)
        except SignatureError:
            sign(version, keys / PRIVATE)
            verify(version, keys / PUBLIC)  # keys that are no pair would be found out too late
    return version


def is_same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same model, to the byte, but for what Pusher adds."""
    files = [sorted(p.relative_to(d) for p in d.rglob("*") if p.is_file()) for d in (one, other)]
    files = [[name for name in names if name.as_posix() not in _ADDED] for names in files]
    return files[0] == files[1] and all(
        filecmp.cmp(one / file, other / file, shallow=False) for file in files[0]
    )
