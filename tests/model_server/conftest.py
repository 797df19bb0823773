"""One SavedModel of TF 1 with every kind of signature.

half_plus_two: y = x / 2 + 2, of a tensor or of tf.Examples with the features x and x2
"""

from pathlib import Path

import pytest

PREDICT, CLASSIFY, REGRESS = (
    f"tensorflow/serving/{rpc}" for rpc in ("predict", "classify", "regress")
)


def _save_half_plus_two(path: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        a = v1.get_variable("a", initializer=0.5, use_resource=True)
        b = v1.get_variable("b", initializer=2.0, use_resource=True)
        x = v1.placeholder(tf.float32, None, "x")
        y = tf.add(a * x, b, "y")
        examples = v1.placeholder(tf.string, [None], "tf_example")
        feature = tf.io.FixedLenFeature([1], tf.float32, [0.0])
        parsed = tf.io.parse_example(examples, {"x": feature, "x2": feature})
        half = a * parsed["x"] + b  # [n, 1]
        half2 = tf.add(a * parsed["x2"], b)
        labels = tf.as_string(half, precision=1)
        two_labels, three_scores = tf.tile(labels, [1, 2]), tf.tile(half, [1, 3])
        x2 = v1.placeholder(tf.float32, [None], "x2")
        y3 = tf.add(a * x2, 3.0)
        a_in, b_in = (v1.placeholder(tf.float32, None, name) for name in ("a_in", "b_in"))
        steps = v1.placeholder(tf.int64, [], "steps")
        (counted,) = tf.while_loop(lambda i: i < steps, lambda i: i + 1, [tf.constant(0, tf.int64)])

        def signature(inputs, outputs, method=PREDICT):
            info = v1.saved_model.utils.build_tensor_info
            return v1.saved_model.build_signature_def(
                {key: info(tensor) for key, tensor in inputs.items()},
                {key: info(tensor) for key, tensor in outputs.items()},
                method,
            )

        def classify(**outputs):
            return signature({"inputs": examples}, outputs, CLASSIFY)

        def regress(output):
            return signature({"inputs": examples}, {"outputs": output}, REGRESS)

        signatures = {
            "serving_default": signature({"x": x}, {"y": y}),
            "regress_x_to_y": regress(half),
            "regress_x_to_y2": regress(half2[:, 0]),
            "regress_x2_to_y3": signature({"inputs": x2}, {"outputs": y3}, REGRESS),
            "classify_x_to_y": classify(scores=half),
            "two": signature({"first": b_in, "second": a_in}, {"sum": a_in + b_in}),
            "with_default": signature({"x": a_in, "plus": b_in}, {"sum": a_in + b_in}),
            "outputs": signature({"x": x}, {"y": y, "again": y, "text": tf.as_string(x)}),
            "no_method": signature({"x": x}, {"y": y}, "x/y"),
            "count": signature({"n": steps}, {"counted": counted}),
            "classes": classify(classes=labels),
            "both": classify(classes=labels, scores=half),
            "scores_and_other": classify(scores=half, other=half2),
            "three_outputs": classify(classes=labels, scores=half, other=half),
            "two_inputs": signature({"inputs": examples, "x": x}, {"scores": half}, CLASSIFY),
            "scores_1d": classify(scores=half[:, 0]),
            "scores_int64": classify(scores=tf.cast(half, tf.int64)),
            "scores_of_one": classify(scores=half[:1]),
            "classes_float": classify(classes=half),
            "classes_1d": classify(classes=labels[:, 0]),
            "classes_of_one": classify(classes=labels[:1]),
            "widths": classify(classes=two_labels, scores=three_scores),
            "regress_wide": regress(three_scores),
            "regress_scalar": regress(tf.reduce_sum(half)),
            "regress_double": regress(tf.cast(half, tf.float64)),
            "regress_of_one": regress(half[:1]),
        }
        signatures["lost"] = signature({"x": x}, {"y": y})
        signatures["lost"].inputs["x"].name = "gone:0"
        signatures["with_default"].defaults["plus"].CopyFrom(tf.make_tensor_proto(10.0))
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


@pytest.fixture(scope="session")
def half_plus_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the SavedModel."""
    path = tmp_path_factory.mktemp("half_plus_two") / "saved"
    _save_half_plus_two(path)
    return path
