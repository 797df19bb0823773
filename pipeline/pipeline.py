"""The DAG: one `create_pipeline` for every runner.

SpanGen -> StatisticsGen -> ExampleValidator -> Transform -> Trainer -> Evaluator
   |                           (schema)             |         (baseline)    |
   +-> LeakageGuard --------------------------------+--(twins)--------------+
   +-> PictureStatistics ---------------------------+                       |
                               Pusher <- RunReport <- ServingCheck <--------+

On request, SuspectLabels lists labels that look wrong, a Tuner finds the Trainer's hyperparameters,
and WarmStart the model it starts from; AlsoTest, a second SpanGen, brings further test
sets to the Evaluator, a split for each.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from tensorflow_data_validation import StatsOptions
from tfx.components import SchemaGen, StatisticsGen, Transform, Tuner
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration import metadata
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import (
    pusher_pb2,
    range_config_pb2,
    trainer_pb2,
    transform_pb2,
)
from tfx.types import BaseChannel, Channel
from tfx.types.standard_artifacts import ExampleStatistics, Model, ModelBlessing

from components.baseline import LatestBlessed
from components.earlier_span import EarlierSpan
from components.evaluator import Evaluator
from components.example_validator import ExampleValidator
from components.leakage_guard import LeakageGuard
from components.newest_pushed import NewestPushed
from components.picture_statistics import PictureStatistics
from components.pusher import Pusher
from components.pusher.executor import KEYS, ORIGIN
from components.run_report import RunReport
from components.serving_check import ServingCheck
from components.span_gen import SpanGen
from components.suspect_labels import SuspectLabels
from components.trainer import Trainer
from data.schema import schema_path
from pipeline.code import code_digest
from pipeline.config import Data, PipelineConfig
from pipeline.environment import Environment
from pipeline.origin import origin_of
from signs import features

T = TypeVar("T", int, float, str)


def statistics_options() -> StatsOptions:
    """How StatisticsGen counts: TFDV's sketches alone heed what the schema calls no category.

    They are exact up to 16,384 values of a feature, such as classes.
    """
    return StatsOptions(use_sketch_based_topk_uniques=True)


def create_pipeline(config: PipelineConfig, environment: Environment) -> Pipeline:
    """Builds the DAG.

    Where there is no metadata store to ask, the baseline and the model to start from are the newest
    one that was pushed, in place of the latest that was blessed.

    Args:
        config: what the run computes.
        environment: where it runs.

    Returns:
        A TFX pipeline that any TFX runner takes.
    """
    example_gen = SpanGen(
        _parameter(environment, "data_root", environment.data_root),
        _patterns(config.data),
        _range_config(config.data),
        _parameter(environment, "spans", config.data.spans),
    )
    guard = LeakageGuard(example_gen.outputs["examples"], config.leaks)
    examples = example_gen.outputs["examples"]
    if config.leaks == "drop":
        examples = guard.outputs["clean_examples"]
    schema_file = str(schema_path(Path(environment.code_root)))
    curated = ImportSchemaGen(schema_file=schema_file).with_id("CuratedSchema")
    # The curated schema tells StatisticsGen that an image and a name are no words to count.
    statistics_gen = StatisticsGen(
        examples=examples, schema=curated.outputs["schema"], stats_options=statistics_options()
    )
    statistics = statistics_gen.outputs["statistics"]
    earlier = _earlier_span(environment, examples)
    pictures = PictureStatistics(
        examples,
        curated.outputs["schema"],
        earlier.outputs["statistics"] if earlier else None,
        config.pictures,
    )
    suspects = SuspectLabels(examples, guard.outputs["leaks"]) if config.suspects else None
    components: list[BaseComponent | Resolver] = [
        example_gen,
        guard,
        curated,
        statistics_gen,
        *filter(None, [earlier]),
        pictures,
        *filter(None, [suspects]),
    ]
    schema = curated.outputs["schema"]
    if config.schema == "infer":
        schema_gen = SchemaGen(statistics=statistics, infer_feature_shape=True)
        schema = schema_gen.outputs["schema"]
        components.append(schema_gen)
    validator = ExampleValidator(
        statistics=statistics, schema=schema, class_names=config.data.class_names
    )

    code, checkpoints = code_digest(), environment.checkpoint_root
    transform = Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn="modules.preprocessing.preprocessing_fn",
        custom_config={"image_size": config.image_size, "code": code},
        # Decoded pixels take 45 times the room of the JPEG: the Trainer applies the graph itself.
        materialize=False,
        disable_statistics=True,
        splits_config=transform_pb2.SplitsConfig(analyze=[features.TRAIN]),
    )
    transform.add_upstream_node(validator)
    # What the policy forbids ends the run before the training.
    transform.add_upstream_node(guard)
    transform.add_upstream_node(pictures)
    tuner = None
    if config.tune.trials:
        tuner = Tuner(
            tuner_fn="modules.tuner.tuner_fn",
            examples=examples,
            transform_graph=transform.outputs["transform_graph"],
            train_args=trainer_pb2.TrainArgs(splits=[features.TRAIN]),
            eval_args=trainer_pb2.EvalArgs(splits=[features.EVAL]),
            custom_config=config.training_job(
                code=code, checkpoints=checkpoints, search=True
            ).to_custom_config(),
        )
    warm_start = None
    if config.warm_start:
        others = None if config.warm_start_again else examples
        warm_start = _warm_start(environment, others).with_id("WarmStart")
    trainer = Trainer(
        run_fn=environment.run_fn,
        examples=examples,
        transform_graph=transform.outputs["transform_graph"],
        statistics=statistics,
        base_model=warm_start.outputs["model"] if warm_start else None,
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
        train_args=trainer_pb2.TrainArgs(splits=config.train.splits),
        eval_args=trainer_pb2.EvalArgs(splits=_eval_splits(config)),
        job=config.training_job(code=code, checkpoints=checkpoints),
        beside_job=environment.beside_job,
        max_steps=_parameter(environment, "train_steps", 0),
    )
    also_test = _also_test(config, environment)
    model = trainer.outputs["model"]
    baseline = _baseline(environment, model, config.data.class_names).with_id("Baseline")
    evaluator = Evaluator(
        examples=examples,
        leaks=guard.outputs["leaks"],
        model=model,
        baseline_model=baseline.outputs["model"],
        class_names=config.data.class_names,
        thresholds=_thresholds(config, environment),
        also_test=also_test.outputs["examples"] if also_test else None,
    )
    model_blessing = evaluator.outputs["blessing"]
    serving_check = ServingCheck(
        model=model,
        model_run=trainer.outputs["model_run"],
        model_blessing=model_blessing,
        transform_graph=transform.outputs["transform_graph"],
        examples=examples,
        picture_statistics=pictures.outputs["statistics"],
        max_images=config.serving_check_images,
        precision=config.serve.precision,
        keys=environment.keys,
    )
    report = RunReport(
        about={
            "name": config.data.name,
            "data_root": environment.data_root,
            "code": code,
            "config": config.to_dict(),
        },
        examples=examples,
        statistics=statistics,
        anomalies=validator.outputs["anomalies"],
        leaks=guard.outputs["leaks"],
        suspects=suspects.outputs["suspects"] if suspects else None,
        picture_statistics=pictures.outputs["anomalies"],
        model=model,
        model_run=trainer.outputs["model_run"],
        baseline_model=baseline.outputs["model"],
        evaluation=evaluator.outputs["evaluation"],
        model_blessing=model_blessing,
        infra_blessing=serving_check.outputs["blessing"],
    )
    pusher = Pusher(
        model=model,
        model_blessing=model_blessing,
        infra_blessing=serving_check.outputs["blessing"],
        report=report.outputs["report"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(
                base_directory=environment.serving_root
            )
        ),
        custom_config={
            **({KEYS: environment.keys} if environment.keys else {}),
            ORIGIN: origin_of(config, environment).to_json(),
        },
    )
    components += [validator, transform, *filter(None, [tuner, warm_start]), trainer]
    components += [*filter(None, [also_test]), baseline, evaluator, serving_check]
    components += [report, pusher]
    connection = None
    if environment.metadata_path:
        connection = metadata.sqlite_metadata_connection_config(environment.metadata_path)
    return Pipeline(
        pipeline_name=config.pipeline_name,
        pipeline_root=environment.pipeline_root,
        components=components,
        enable_cache=True,
        metadata_connection_config=connection,
        beam_pipeline_args=list(environment.beam_args),
    )


def _parameter(environment: Environment, name: str, value: T) -> T | RuntimeParameter:
    """A value that each run may replace, where the environment has a way to give it."""
    if not environment.runtime_parameters:
        return value
    return RuntimeParameter(name=name, ptype=type(value), default=value)


def _also_test(config: PipelineConfig, environment: Environment) -> SpanGen | None:
    """All further test sets, each as a split of its name; they stay the ones that were named."""
    if not config.also_test:
        return None
    patterns = {}
    for one in config.also_test:
        version = features.SPAN_PATTERN.format(SPAN=one.span, VERSION=one.version)
        patterns[one.name] = f"{one.name}/{version}/{features.TEST}/*"
    return SpanGen(environment.also_test_root, patterns).with_id("AlsoTest")


def _thresholds(
    config: PipelineConfig, environment: Environment
) -> dict[str, float | str | RuntimeParameter]:
    """The Evaluator's parameters; those of further test sets are one of them, as JSON."""
    values = asdict(config.evaluate)
    on = values.pop("min_accuracy_on")
    if on:
        values["min_accuracy_on"] = json.dumps(on)
    return {name: _parameter(environment, name, value) for name, value in values.items()}


def _earlier_span(environment: Environment, examples: BaseChannel) -> Resolver | None:
    """What the pictures of an earlier span were like; without metadata nobody can tell."""
    if not environment.metadata_path:
        return None
    return Resolver(
        strategy_class=EarlierSpan,
        examples=examples,
        statistics=Channel(type=ExampleStatistics),
    ).with_id("EarlierSpan")


def _warm_start(
    environment: Environment, others_than: BaseChannel | None
) -> NewestPushed | Resolver:
    """A model of other classes will do: what it has learnt of images is taken over."""
    if not environment.metadata_path:
        return NewestPushed(environment.serving_root)
    return Resolver(
        strategy_class=LatestBlessed,
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
        **({"examples": others_than} if others_than else {}),
    )


def _baseline(
    environment: Environment, candidate: BaseChannel, class_names: tuple[str, ...]
) -> NewestPushed | Resolver:
    if not environment.metadata_path:
        return NewestPushed(environment.serving_root, candidate, class_names)
    return Resolver(
        strategy_class=LatestBlessed,
        config={"class_names": list(class_names)},
        candidate=candidate,
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
    )


def _range_config(data: Data) -> range_config_pb2.RangeConfig | None:
    if data.span is None:
        return None
    return range_config_pb2.RangeConfig(
        static_range=range_config_pb2.StaticRange(
            start_span_number=data.span, end_span_number=data.span
        )
    )


def _patterns(data: Data) -> dict[str, str]:
    pattern = features.SPAN_PATTERN
    if data.version is not None:
        pattern = pattern.replace("{VERSION}", str(data.version))
    return dict.fromkeys(data.splits, f"{pattern}/{features.MANIFEST}")


def _eval_splits(config: PipelineConfig) -> list[str]:
    # The Trainer opens these files at once, so they must be there; it reads them only for curves.
    return [features.EVAL if features.EVAL in config.data.splits else features.TRAIN]
