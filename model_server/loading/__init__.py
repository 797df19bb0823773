"""From a version's folder to a Servable: the SavedModel, batched if flags say so, warmed up.

TensorFlow is imported here and nowhere else.
"""
