"""model_server/services"""
