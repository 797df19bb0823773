"""TF Serving's REST API: the same answers as gRPC's, as JSON over HTTP.

    server (sockets) -> app (HTTP) -> paths -> api -> json_reader -> predict_json, example_json
                                                   -> PredictionService, ModelService
                                                   -> json_writer, proto_json -> app

The app is plain ASGI. What the C++ server's HTTP library does and ASGI hides is listed in `app`.
"""
