"""`signs submit`: a compiled pipeline goes to KFP's API server, and its run is watched.

PipelineFile + arguments -> submit, through api (over a connection) -> watch -> report
                                                    workflow_nodes <-+
"""
