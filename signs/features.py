"""Every name, size, split and signature key of the project: the ground floor.

Data flows past these names from the source files to the client of the served model:

    tf.train.Example (IMAGE, LABEL, ...) -> Transform (PIXELS, LABEL) -> model -> PROBABILITIES, ...

This module imports nothing, so that a command line can start without TensorFlow.
"""

# --- The tf.train.Example that `data/` writes and SpanGen reads -------------------------
IMAGE = "image"  # bytes: one encoded image, JPEG or PNG
LABEL = "label"  # int64: index into the class names of the manifest, in [0, number of classes)
CLASS_NAME = "class_name"  # bytes: UTF-8
SOURCE_ID = "source_id"  # bytes: where the image came from, unique within a span
SPLIT = "split"  # bytes: one of SPLITS

# --- Splits --------------------------------------------------------------------------------------
TRAIN = "train"
EVAL = "eval"  # for curves and choices
TEST = "test"  # for the Evaluator alone
SPLITS = (TRAIN, EVAL, TEST)

# --- Transform's output --------------------------------------------------------------------------
PIXELS = "pixels"  # float32 [batch, size, size, 3] in [0, 1]
IMAGE_SIZE = 64  # pixels a side: the default, and the size of SIGNS

# --- What is decoded -----------------------------------------------------------------------------
MAX_PIXELS = 50_000_000  # of one picture, width x height: more is no photograph
MAX_SCANS = 100  # of a JPEG; ten are usual, and each takes a decoder as long as a whole picture
MAX_SCANNED_PIXELS = 20 * MAX_PIXELS  # a JPEG's scans x width x height: four seconds of a core

# --- The served model ----------------------------------------------------------------------------
SERVING_DEFAULT = "serving_default"  # serialized tf.train.Examples in
SERVE_IMAGES = "serve_images"  # encoded image bytes in
CLASSIFY = "classify"  # serialized examples in, CLASSES and SCORES out: TF Serving's contract
TRANSFORM_FEATURES = "transform_features"  # for TFMA: serialized examples in, PIXELS and LABEL out
EXAMPLES_INPUT = "examples"  # string [batch]
IMAGES_INPUT = "image_bytes"  # string [batch]
CLASSIFY_INPUT = "inputs"  # string [batch]; this name and the next two are TF Serving's
CLASSES = "classes"  # string [batch, classes]: the name of each class, in the order of the labels
SCORES = "scores"  # float32 [batch, classes]: PROBABILITIES
PROBABILITIES = "probabilities"  # float32 [batch, classes], rows sum to 1
PREDICTED_CLASS_ID = "class_id"  # int64 [batch]
PREDICTED_CLASS_NAME = "class_name"  # string [batch]
CONFIDENCE = "confidence"  # float32 [batch] in [0, 1]: how probable it is that the class is right
KNOWN = "known"  # bool [batch]: false where the picture is of no kind that the model was trained on
# Beside it: what the pictures were like that it was trained on (TFDV's FeatureStats.pb).
TRAINING_STATISTICS = "assets.extra/training_statistics.pb"
# And what its network sees in test pictures: float16 [pictures, size], as NumPy writes it.
TEST_EMBEDDINGS = "assets.extra/test_embeddings.npy"

GRPC_PORT, REST_PORT = 8500, 8501  # where TensorFlow Serving's documentation has its APIs

# --- Spans on disk -------------------------------------------------------------------------------
SPAN_PATTERN = "span-{SPAN}/v-{VERSION}"  # as TFX spells it
MANIFEST = "manifest.json"
SYNTHETIC_DATASET = "signs-synthetic"  # the name that drawn hands have, and no photographs
REJECTED = "rejected.jsonl"  # what could not be used, beside the manifest
PICTURES = "pictures.jsonl.gz"  # which pictures of its source a span names, there too
FINDINGS = "findings.jsonl"  # pictures in two splits or under two classes, there too

# --- The request log of a model server ------------------------------------------------------------
REQUEST_LOG_FILES = "requests-*.tfrecord"  # names sort by time
# Who asks under this name is not recorded: a replay of the log would make it longer by itself.
REPLAYING_CLIENT = b"signs-shadow"
