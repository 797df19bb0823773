"""kubeflow/commands"""
