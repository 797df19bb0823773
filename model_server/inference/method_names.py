"""For which RPC a signature was made: the method names of `signature_constants.py`."""

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
