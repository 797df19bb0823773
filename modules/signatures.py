"""What the exported model answers to: four signatures over one Transform graph and one network.

serving_default     serialized tf.train.Examples -> probabilities, classes, class_id, class_name,
                                                    confidence, known
serve_images        encoded image bytes          -> the same
classify            serialized tf.train.Examples -> classes, scores (TF Serving's Classify)
transform_features  serialized tf.train.Examples -> pixels, label (for TFMA)
"""

import os
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf
import tensorflow_transform as tft

from modules.calibration import Calibration
from modules.example_limits import well_formed
from modules.network import logits_of
from signs import features


class ServedModel(tf.Module):
    """A trained network with its preparation of pixels and its class names, ready to export."""

    def __init__(
        self,
        network: keras.Model,
        transform_output: tft.TFTransformOutput,
        class_names: Sequence[str],
        calibration: Calibration,
        logits: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> None:
        """Constructs the module.

        Args:
            network: from float32 [batch, size, size, 3] to probabilities float32 [batch, classes];
                what `build_resnet` returned. Its weights of this moment are exported, as constants.
            transform_output: Transform's graph.
            class_names: one per class, in the order of the labels.
            calibration: how sure the network's answers are.
            logits: what `logits_of` made of the network, where it is not the one in float32, or has
                been traced already.
        """
        super().__init__()
        self.transform = transform_output.transform_features_layer()
        self._raw_spec = transform_output.raw_feature_spec()
        names = tf.constant(list(class_names), tf.string)

        # The network itself is kept out of what is saved: its weights are constants of this.
        logits_of_network = logits or logits_of(network)

        @tf.function(autograph=False)  # traced once, called by both serving signatures
        def answer(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            logits = logits_of_network(pixels)
            class_id = tf.argmax(logits, axis=1, output_type=tf.int64)
            return {
                features.PROBABILITIES: tf.nn.softmax(logits),
                features.CLASSES: tf.tile(names[tf.newaxis], [tf.shape(logits)[0], 1]),
                features.PREDICTED_CLASS_ID: class_id,
                features.PREDICTED_CLASS_NAME: tf.gather(names, class_id),
                features.CONFIDENCE: calibration.confidence(logits),
                features.KNOWN: calibration.known(logits),
            }

        self._answer = answer

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES_INPUT)],
    )
    def serving_default(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers serialized tf.train.Examples, string [batch], of which only IMAGE is read."""
        spec = {features.IMAGE: self._raw_spec[features.IMAGE]}
        parsed = tf.io.parse_example(well_formed(examples), spec)
        return self._answer_images(parsed[features.IMAGE])

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string, name=features.IMAGES_INPUT)],
    )
    def serve_images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers encoded images, string [batch]."""
        return self._answer_images(image_bytes)

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string, name=features.CLASSIFY_INPUT)],
    )
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The names and probabilities of all classes for serialized tf.train.Examples [batch]."""
        answer = self.serving_default(inputs)
        # TF Serving takes no more than these two.
        return {
            features.CLASSES: answer[features.CLASSES],
            features.SCORES: answer[features.PROBABILITIES],
        }

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string, name=features.EXAMPLES_INPUT)],
    )
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Transform's output for serialized tf.train.Examples, string [batch]."""
        return self.transform(tf.io.parse_example(well_formed(examples), self._raw_spec))

    def _answer_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.reshape(images, [-1, 1])
        # Transform's graph wants a label; what it makes of it is not read.
        labels = tf.zeros_like(images, tf.int64)
        prepared = self.transform({features.IMAGE: images, features.LABEL: labels})
        return self._answer(prepared[features.PIXELS])


def export(model: ServedModel, directory: str | os.PathLike[str]) -> None:
    """Writes the SavedModel with its four signatures; nobody may look at it meanwhile."""
    tf.saved_model.save(
        model,
        str(directory),
        signatures={
            features.SERVING_DEFAULT: model.serving_default,
            features.SERVE_IMAGES: model.serve_images,
            features.CLASSIFY: model.classify,
            features.TRANSFORM_FEATURES: model.transform_features,
        },
    )
    # TensorFlow 2 writes every signature as one for Predict. A server that checks method names, or
    # a MultiInference request, wants this one to be for Classify.
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(directory))
    updater.replace_method_name(features.CLASSIFY, tf.saved_model.CLASSIFY_METHOD_NAME)
    updater.save()
