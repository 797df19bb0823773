"""kubeflow/submitting"""
