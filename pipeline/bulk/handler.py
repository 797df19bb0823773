"""Beam's way to the exported model: its signature `serve_images`, in a session as a server has it.

[Picture, ...] -> ServedModelHandler.run_inference -> [Answer, ...], one for each and in their order
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from model_server.errors import ModelError, RequestError
from model_server.loading.saved_model import SavedModel, SessionOptions
from pipeline.bulk.answers import Answer
from signs import features
from signs.errors import UserError


@dataclass(frozen=True, slots=True)
class Picture:
    """What is asked about.

    Args:
        source: where it is, unique within the source.
        image: encoded, as every decoder reads it; None where it cannot be had.
        error: why not.
        passed_over: whether nobody would take it for a picture.
    """

    source: str
    image: bytes | None
    error: str | None = None
    passed_over: bool = False


class ServedModelHandler(ModelHandler[Picture, Answer, SavedModel]):
    """Loads a version once a process, and asks it about batches.

    Args:
        version: folder of the SavedModel.
        threads: that each operation may use; 0 lets TensorFlow choose.
    """

    def __init__(self, version: Path, threads: int) -> None:
        super().__init__()
        self._version = version
        self._session = SessionOptions(intra_op_threads=threads)

    def load_model(self) -> SavedModel:
        """Loads the version.

        Raises:
            UserError: it cannot be loaded, or answers no pictures.
        """
        try:
            model = SavedModel(self._version, self._session, prepare=False)
        except RequestError as err:
            raise UserError(f"{self._version} cannot be loaded: {err}") from err
        if features.SERVE_IMAGES not in model.signature_defs:
            raise UserError(f"{self._version} has no signature {features.SERVE_IMAGES}")
        return model

    def run_inference(
        self,
        batch: Sequence[Picture],
        model: SavedModel,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterator[Answer]:
        """Answers a batch. What the model refuses fails alone: the others are asked again."""
        asked = [one for one in batch if one.image is not None]
        try:
            answers = iter(_ask(model, asked))
        except ModelError as err:
            if len(asked) == 1:
                answers = iter([Answer(asked[0].source, error=str(err))])
            else:
                answers = (a for one in asked for a in self.run_inference([one], model))
        for one in batch:
            if one.image is None:
                yield Answer(one.source, error=one.error, passed_over=one.passed_over)
            else:
                yield next(answers)

    def get_metrics_namespace(self) -> str:
        """Beam's metrics of this step have that name before theirs."""
        return "SIGNS"


def _ask(model: SavedModel, pictures: Sequence[Picture]) -> list[Answer]:
    if not pictures:
        return []
    signature = model.signature_defs[features.SERVE_IMAGES]
    feeds = {signature.inputs[features.IMAGES_INPUT].name: _images(pictures)}
    fetches = [output.name for output in signature.outputs.values()]
    values = dict(zip(signature.outputs, model.run(feeds, fetches), strict=True))
    return [_answer(one.source, values, row) for row, one in enumerate(pictures)]


def _images(pictures: Sequence[Picture]) -> np.ndarray:
    images = np.empty(len(pictures), object)
    images[:] = [one.image for one in pictures]
    return images


def _answer(source: str, values: Mapping[str, np.ndarray], row: int) -> Answer:
    probabilities = tuple(map(_shortest, values[features.PROBABILITIES][row]))
    class_id = int(values[features.PREDICTED_CLASS_ID][row])
    confidence, known = values.get(features.CONFIDENCE), values.get(features.KNOWN)
    return Answer(
        source,
        class_id,
        values[features.PREDICTED_CLASS_NAME][row].decode(),
        probabilities[class_id],
        None if confidence is None else _shortest(confidence[row]),
        None if known is None else bool(known[row]),
        probabilities,
    )


def _shortest(value: np.float32) -> float:
    """The number that is written with the fewest digits and is the same float32."""
    return float(str(value))
