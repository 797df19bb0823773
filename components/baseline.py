"""Which model a candidate must beat: the latest blessed one, other than the candidate itself."""

import ml_metadata as mlmd
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.common.resolver import ResolverStrategy


class LatestBlessedOther(ResolverStrategy):
    """Resolves the latest blessed model that is not the candidate.

    TFX's own strategy resolves the candidate itself when an unchanged pipeline runs again: its
    baseline changes, so the Evaluator runs anew, and what it blesses is pushed a second time.

    Channels: `candidate` (Model), `model` (Model) and `model_blessing` (ModelBlessing). The first
    says what to leave out; the other two are resolved to one artifact each, or to none.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Picks the model of the newest blessing."""
        candidates = {artifact.id for artifact in input_dict["candidate"]}
        models = {artifact.id: artifact for artifact in input_dict["model"]}
        blessings = sorted(
            input_dict["model_blessing"], key=lambda artifact: artifact.id, reverse=True
        )
        for blessing in blessings:
            model_id = blessing.get_int_custom_property(
                constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY
            )
            blessed = blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY)
            if blessed == 1 and model_id in models and model_id not in candidates:
                return {**input_dict, "model": [models[model_id]], "model_blessing": [blessing]}
        return {**input_dict, "model": [], "model_blessing": []}
