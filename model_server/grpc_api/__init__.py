"""model_server/grpc_api"""
