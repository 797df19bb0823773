"""One step in its container: from KFP's ExecutorInput to TFX's executor, and back.

    entrypoint -> adapter: executor_input, example_gen -> TFX -> executor_output -> KFP's launcher

`ending` is what a step still does when its pod is told to go.
"""
