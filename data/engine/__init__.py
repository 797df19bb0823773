"""An engine that others operate: Beam's portable protocol, as Flink, Spark and Prism speak it.

    Engine -> Beam's options -> EngineRunner -> job server -> pool -> workers of this environment

`docs/engines.md` says how one is run.
"""
