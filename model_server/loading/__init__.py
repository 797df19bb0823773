"""model_server/loading"""
