"""The pipeline on open-source Kubeflow Pipelines v2: compile, submit, run a step, rehearse a run.

Never installed, since an SDK on the package index has this name: it runs from the checkout, and
from `/app` in the image.
"""
