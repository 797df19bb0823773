"""Which blessed model is taken: the newest that is there and can be compared.

A baseline that knows other classes cannot be evaluated on these images, or means other things by
the same numbers; one whose files are gone fails every run after it.
"""

import logging
import os
from collections.abc import Sequence

import ml_metadata as mlmd
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.utils import path_utils

LOGGER = logging.getLogger(__name__)  # tells of each model that is passed over, and why
# Of a baseline from the serving folder, and of the blessing by it: the newest version there.
NEWEST_PUSHED = "newest_pushed"
_SHOWN = 5  # of the classes that another model knows


class LatestBlessed(ResolverStrategy):
    """Resolves the latest blessed model that can be used, other than a candidate.

    TFX's own strategy resolves the candidate itself when an unchanged pipeline runs again: its
    baseline changes, so the Evaluator runs anew, and what it blesses is pushed a second time.

    Channels: `model` (Model) and `model_blessing` (ModelBlessing) are resolved to one artifact
    each, or to none; `candidate` (Model), if there is one, says what to leave out, and `examples`
    (Examples) those of what models to leave out.
    """

    def __init__(self, class_names: Sequence[str] | None = None) -> None:
        """Constructs the strategy.

        Args:
            class_names: that the model must have, in this order; None takes any.
        """
        self._class_names = class_names

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Picks the model of the newest blessing."""
        passed_over = {artifact.id for artifact in input_dict.get("candidate", [])}
        passed_over |= _made_of(store, [one.id for one in input_dict.get("examples", [])])
        models = {artifact.id: artifact for artifact in input_dict["model"]}
        blessings = sorted(
            input_dict["model_blessing"], key=lambda artifact: artifact.id, reverse=True
        )
        for blessing in blessings:
            model_id = blessing.get_int_custom_property(
                constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY
            )
            blessed = blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY)
            if blessed != 1 or model_id not in models or model_id in passed_over:
                continue
            why_not = unusable(
                path_utils.serving_model_path(models[model_id].uri), self._class_names
            )
            if why_not is None:
                return {**input_dict, "model": [models[model_id]], "model_blessing": [blessing]}
            passed_over.add(model_id)
            LOGGER.info("model %d %s", model_id, why_not)
        return {**input_dict, "model": [], "model_blessing": []}


def _made_of(store: mlmd.MetadataStore, examples: Sequence[int]) -> set[int]:
    """The ids of all that was made by what has read examples."""
    if not examples:
        return set()
    readers = {one.execution_id for one in store.get_events_by_artifact_ids(examples)}
    events = store.get_events_by_execution_ids(readers) if readers else ()
    return {one.artifact_id for one in events if one.type == mlmd.proto.Event.OUTPUT}


def unusable(
    model_dir: str | os.PathLike[str], class_names: Sequence[str] | None = None
) -> str | None:
    """Why a model cannot be used as a baseline or to start from, None if it can.

    The words go on after the model's name: "model 8 has lost its files".

    Args:
        model_dir: folder of the SavedModel.
        class_names: that it must have, in this order; None takes any.
    """
    from modules.exported import ExportedModelError, class_names_of  # imports TensorFlow

    try:
        found = class_names_of(model_dir)
    except ExportedModelError as err:
        return str(err)
    if class_names is None or found == tuple(class_names):
        return None
    if sorted(found) == sorted(class_names):
        return "has the same classes in another order"
    more = ", ..." if len(found) > _SHOWN else ""
    return f"knows other classes: {', '.join(found[:_SHOWN])}{more}"
