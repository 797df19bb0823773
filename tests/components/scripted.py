"""A model whose answers are written in a test: wrong where it is told to be, and as sure."""

from pathlib import Path

import tensorflow as tf

from signs import features


class Scripted(tf.Module):
    """Reads its answer off the label, and is wrong on some images."""

    def __init__(self, class_names: tuple[str, ...], wrong: str, confidence: float) -> None:
        super().__init__()
        self.class_names, self.wrong, self.confidence = class_names, wrong, confidence

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES_INPUT)])
    def answer(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        text = tf.io.FixedLenFeature([1], tf.string, default_value="")
        read = {
            features.LABEL: tf.io.FixedLenFeature([1], tf.int64),
            features.SOURCE_ID: text,
            "corruption": text,
        }
        found = tf.io.parse_example(examples, read)
        name = tf.strings.join([found["corruption"], found[features.SOURCE_ID]], " ")[:, 0]
        is_wrong = tf.cast(tf.strings.regex_full_match(name, self.wrong), tf.int64)
        answer = (found[features.LABEL][:, 0] + is_wrong) % len(self.class_names)
        probabilities = tf.one_hot(answer, len(self.class_names))
        return {
            features.PROBABILITIES: probabilities,
            features.CONFIDENCE: self.confidence * tf.ones_like(probabilities[:, 0]),
            features.PREDICTED_CLASS_NAME: tf.gather(tf.constant(self.class_names), answer),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES_INPUT)])
    def label(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return tf.io.parse_example(examples, {features.LABEL: tf.io.FixedLenFeature([1], tf.int64)})


def save(folder: Path, class_names: tuple[str, ...], wrong: str = "", sure: float = 0.97) -> Path:
    """Writes such a model.

    Args:
        folder: where to, as a Trainer's `model`.
        class_names: what it tells apart.
        wrong: a pattern for `{corruption} {source id}`: there it answers the next class.
        sure: its confidence in each answer.
    """
    model = Scripted(class_names, wrong, sure)
    signatures = {
        features.SERVING_DEFAULT: model.answer,
        features.TRANSFORM_FEATURES: model.label,
    }
    tf.saved_model.save(model, str(folder / "Format-Serving"), signatures=signatures)
    return folder
