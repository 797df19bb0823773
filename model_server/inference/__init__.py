"""What each RPC of PredictionService computes, whatever it came by: gRPC, REST or a warm-up file.

    (request, lease of a loaded version) -> answer() -> response

One module for each RPC; those on tf.Examples have a room of their own. The checks, their order and
their words are TF Serving's.
"""
