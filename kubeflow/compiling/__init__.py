"""kubeflow/compiling"""
