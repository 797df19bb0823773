"""A stand-in for a cluster: runs a compiled pipeline on this machine, for development and CI.

    child -> runner: limits, then of each step driver (inputs, cache) -> launcher (one attempt)
                            records <-+         pod, mounts, store, executor_output <-+

Nothing of Kubernetes is here, and no image is pulled: a step's command runs with this Python, in a
folder of its own. What is the same as on a cluster is what a step is handed, and what is asked of
what it hands back. The contract is KFP's Go code; each module names the files it follows.
"""
