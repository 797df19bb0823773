"""Thresholds in; TFMA's evaluation, and the blessing of a candidate that meets them, out.

    evaluation/                    of `test`, beside the baseline where there is one
    evaluation/also_test/{name}/   of a further test set
    evaluation/corrupted/          of spoilt copies of test images

All of them share a Beam pipeline and the loaded model: another evaluation would cost five seconds
before it has seen an image.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as stock
from tfx.components.util import tfxio_utils
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import (
    BASELINE_MODEL_KEY,
    BLESSING_KEY,
    EVALUATION_KEY,
    EXAMPLES_KEY,
    MODEL_KEY,
)
from tfx.utils import path_utils
from tfx_bsl.tfxio import tf_example_record

from components.baseline import NEWEST_PUSHED
from components.evaluator import corrupted, judging
from components.evaluator.simple_answers import simple_answers
from components.leakage_guard.executor import GROUPS
from data.leaks.report import TRAINED_ON, read_groups, twin_kinds
from modules.evaluation import CORRUPTION, NO_TWIN, TWIN, Check, Thresholds, eval_config
from modules.evaluation.checks import checks_of_corrupted, checks_of_further, checks_of_test
from modules.evaluation.verdict import Comparison, Row, SimpleAnswers, Verdict
from modules.training.undecodable import naming_undecodable
from signs import features
from signs.errors import UserError

_LOG = logging.getLogger(__name__)
ALSO_TEST_KEY = "also_test"
# Images that a model is asked about at once. TFXIO's own number grows up to 1,000 and never stays
# the same, and oneDNN keeps something for each: half a MiB, of a network of one block.
BATCH = 32


class Executor(stock.Executor):
    """Does what TFX's Evaluator does, on several test sets at once.

    It is one of these for TFX's entrypoint on Kubeflow, which gives their blessings the model's id.
    """

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates the candidate.

        Raises:
            UserError: a threshold is out of its range or of no test set, or an image does not
                decode.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        test, further = input_dict[EXAMPLES_KEY], input_dict.get(ALSO_TEST_KEY, [])
        names = [
            name for one in further for name in artifact_utils.decode_split_names(one.split_names)
        ]
        thresholds = thresholds_of(exec_properties, names)
        class_names = json.loads(exec_properties["class_names"])
        [candidate], baselines = input_dict[MODEL_KEY], input_dict.get(BASELINE_MODEL_KEY, [])
        evaluation = artifact_utils.get_single_uri(output_dict[EVALUATION_KEY])
        groups = read_groups(Path(input_dict["leaks"][0].uri) / GROUPS)
        twins = twin_kinds(groups, features.TEST, TRAINED_ON)
        simple = _simple_answers(test)
        [test_folder] = map(Path, artifact_utils.get_split_uris(test, features.TEST))
        checks = checks_of_test(
            thresholds, simple, has_twins=bool(twins), has_baseline=bool(baselines)
        )
        further_checks = {name: checks_of_further(thresholds, name) for name in names}
        copies_checks = checks_of_corrupted(thresholds) if corrupted.are_there(test_folder) else ()

        config = eval_config(checks, class_names, (features.CLASS_NAME, TWIN))
        config = _completed(config, bool(baselines))
        models = [
            tfma.default_eval_shared_model(
                path_utils.serving_model_path(
                    baselines[0].uri if spec.is_baseline else candidate.uri
                ),
                model_name=spec.name,
                eval_config=config,
            )
            for spec in config.model_specs
        ]
        [shared] = [model for model in models if model.model_name != tfma.BASELINE_KEY]
        only = shared._replace(model_name="")  # as TFMA calls the only one
        patterns = [f"{artifact.uri}/Split-*/*" for artifact in (*test, *further)]
        with naming_undecodable(patterns), self._make_beam_pipeline() as pipeline:
            batches = _read(pipeline, test, features.TEST, twins)
            _evaluate(batches, features.TEST, models, config, evaluation)
            for name in names:
                config = eval_config(further_checks[name], class_names)
                folder = further_evaluation(evaluation, name)
                _evaluate(_read(pipeline, further, name), name, [only], _completed(config), folder)
            if copies_checks:
                config = eval_config(copies_checks, class_names, [CORRUPTION], with_plots=False)
                folder = corrupted_evaluation(evaluation)
                spoilt = _copies(pipeline, test_folder)
                _evaluate(spoilt, CORRUPTION, [only], _completed(config), folder)
        judged = [
            (evaluation, checks, features.TEST),
            *((further_evaluation(evaluation, name), further_checks[name], name) for name in names),
            (corrupted_evaluation(evaluation), copies_checks, CORRUPTION),
        ]
        found = None
        if baselines:
            found = judging.comparison(evaluation, thresholds.significance)
        verdict = _verdict(judged, simple, found)
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])
        _bless(blessing, verdict.blessed, candidate, baselines)
        verdict.save(Path(blessing.uri))


def further_evaluation(evaluation: str, name: str) -> str:
    """The folder of what TFMA found on a further test set, within the evaluation's."""
    return f"{evaluation}/{ALSO_TEST_KEY}/{name}"


def corrupted_evaluation(evaluation: str) -> str:
    """The folder of what TFMA found on spoilt copies, within the evaluation's."""
    return f"{evaluation}/corrupted"


def _with_twins(batch: pa.RecordBatch, twins: Mapping[str, str]) -> pa.RecordBatch:
    """Adds the feature by which TFMA slices."""
    ids = batch.column(batch.schema.names.index(features.SOURCE_ID)).to_pylist()
    kinds = [[twins.get(one[0].decode(), NO_TWIN).encode()] for one in ids]
    return batch.append_column(TWIN, pa.array(kinds, pa.list_(pa.binary())))


def thresholds_of(exec_properties: dict[str, Any], test_sets: Sequence[str]) -> Thresholds:
    """The thresholds that a run was given.

    Raises:
        UserError: one is out of its range, or for a further test set that there is not.
    """
    text = exec_properties.get("min_accuracy_on") or "{}"
    try:
        on = dict(json.loads(text))
        least = {name: None if value is None else float(value) for name, value in on.items()}
    except (ValueError, TypeError) as err:
        raise UserError(
            "min_accuracy_on must be JSON of accuracies by further test set, as in "
            f'{{"customer": 0.9}}. Received: {text!r}'
        ) from err
    for name in least:
        if name not in test_sets:
            there = ", ".join(test_sets) or "none"
            raise UserError(
                f"min_accuracy_on: there is no further test set {name!r}; there are: {there}"
            )
    others = [one.name for one in fields(Thresholds) if one.name != "min_accuracy_on"]
    return Thresholds(**{name: exec_properties[name] for name in others}, min_accuracy_on=least)


def _simple_answers(examples: list[types.Artifact]) -> SimpleAnswers | None:
    folders = {
        split: Path(artifact_utils.get_split_uri(examples, split))
        for split in artifact_utils.decode_split_names(examples[0].split_names)
    }
    test = folders.pop(features.TEST)
    try:
        return simple_answers(folders.values(), test)
    except OSError as err:  # a picture that an older release has let in
        _LOG.warning("no simple answers to compare with: %s", err)
        return None


def _completed(config: config_pb2.EvalConfig, has_baseline: bool = False) -> config_pb2.EvalConfig:
    """What TFMA wants to be told; without a baseline, thresholds of changes count for nothing."""
    return tfma.utils.update_eval_config_with_defaults(
        config, has_baseline=has_baseline, rubber_stamp=True
    )


def _read(
    pipeline: beam.Pipeline,
    examples: list[types.Artifact],
    split: str,
    twins: Mapping[str, str] | None = None,
) -> beam.PCollection[pa.RecordBatch]:
    """Reads a split; `twins` are those of `twin_kinds`."""
    read = tfxio_utils.get_tfxio_factory_from_artifact(
        examples=examples,
        telemetry_descriptors=["Evaluator"],
        raw_record_column_name=tfma.constants.ARROW_INPUT_COLUMN,
    )
    [folder] = artifact_utils.get_split_uris(examples, split)
    return (
        pipeline
        | f"Read[{split}]" >> read(f"{folder}/*").BeamSource(BATCH)
        | f"Twins[{split}]" >> beam.Map(_with_twins, twins or {})
    )


def _copies(pipeline: beam.Pipeline, test: Path) -> beam.PCollection[pa.RecordBatch]:
    """Makes the copies where they are evaluated: they lie on no disk."""
    batches = tf_example_record.TFExampleBeamRecord(
        physical_format="inmem",
        telemetry_descriptors=["Evaluator"],
        raw_record_column_name=tfma.constants.ARROW_INPUT_COLUMN,
    )
    return (
        pipeline
        | "TestSplit" >> beam.Create([test])
        | "Corrupt" >> beam.FlatMap(corrupted.copies).with_output_types(bytes)
        | "ReadCopies" >> batches.BeamSource(BATCH)
    )


def _evaluate(
    batches: beam.PCollection[pa.RecordBatch],
    name: str,
    models: list[tfma.types.EvalSharedModel],
    config: config_pb2.EvalConfig,
    output: str,
) -> None:
    """Adds the evaluation of some images to the pipeline."""
    _ = batches | f"Evaluate[{name}]" >> tfma.ExtractEvaluateAndWriteResults(
        eval_shared_model=models if len(models) > 1 else models[0],
        eval_config=config,
        output_path=output,
    )


def _verdict(
    judged: Sequence[tuple[str, Sequence[Check], str]],
    simple: SimpleAnswers | None,
    baseline: Comparison | None,
) -> Verdict:
    """What TFMA has decided, all of it together.

    Args:
        judged: folder, checks and test set of each evaluation, that of `test` first.
        simple: what answers without a network score.
        baseline: how it differs from the candidate; None: there is none.
    """
    rows: list[Row] = []
    for folder, checks, name in judged:
        compared = baseline is not None and folder == judged[0][0]
        rows += judging.rows(folder, checks, name, compared=compared)
    decided = [folder for folder, checks, _ in judged if checks]
    return Verdict(
        blessed=all(tfma.load_validation_result(folder).validation_ok for folder in decided),
        rows=tuple(sorted(rows, key=lambda row: row.check in ("class", "corruption"))),
        simple_answers=simple,
        baseline=baseline,
    )


def _bless(
    blessing: types.Artifact,
    blessed: bool,
    candidate: types.Artifact,
    baselines: list[types.Artifact],
) -> None:
    """Writes the blessing as TFX's Evaluator does: Pusher and resolvers read it."""
    words, number = blessing.set_string_custom_property, blessing.set_int_custom_property
    words(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, candidate.uri)
    number(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, candidate.id)
    if baselines:
        words(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, baselines[0].uri)
        number(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, baselines[0].id)
        if newest := baselines[0].get_int_custom_property(NEWEST_PUSHED):
            number(NEWEST_PUSHED, newest)  # Pusher pushes nothing over a newer one
    number(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY,
        constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE,
    )
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME)).touch()
