"""The pipeline on open-source Kubeflow Pipelines v2 (KFP).

    commands -> compiling -> pipeline.yaml -> submitting -> KFP, which starts each step as `step`
                                           -> standin, which does the same without a cluster

Never installed, since an SDK on the package index has this name: it runs from the checkout, and
from `/app` in the image.
"""
