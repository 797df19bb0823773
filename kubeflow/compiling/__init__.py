"""`signs compile`: the pipeline of every other runner, as a file that open-source KFP v2 can run.

    images -> package -> compiler (the DAG, by TFX) + platform (the pods) -> pipeline.yaml
                  options, checks <-+                                            +-> pipeline_file

What KFP could not run is refused by the node's name before anything is written. `pipeline_file`
reads what was written, for `submitting` and `standin`.
"""
