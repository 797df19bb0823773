"""model_server/inference/on_examples"""
