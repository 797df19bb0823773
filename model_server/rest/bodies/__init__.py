"""model_server/rest/bodies"""
