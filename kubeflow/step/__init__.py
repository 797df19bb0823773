"""One step in its container: from KFP's ExecutorInput to TFX's executor, and back.

    entrypoint -> adapter: executor_input, example_gen -> TFX -> executor_output -> KFP's launcher

`train_together` is no step: it is one worker of a training that an operator starts beside KFP.
"""
