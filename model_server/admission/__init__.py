"""How much memory requests may take together, whatever they came by.

    gRPC message, REST body -> weight -> budget of messages -> parsed -> arrays
    arrays                  -> weight -> budget of runs     -> the model

A request that finds no room waits for it, and is RESOURCE_EXHAUSTED when its time is up. TensorFlow
Serving has no such thing, and is killed for memory.
"""
