"""model_server/versions"""
