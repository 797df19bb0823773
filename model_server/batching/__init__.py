"""model_server/batching"""
