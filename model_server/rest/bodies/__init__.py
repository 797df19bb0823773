"""JSON bodies <-> TF Serving's messages.

body -> json_reader -> predict_json (-> json_values), example_json -> request
response -> json_writer (answers), proto_json (status, metadata) -> body
"""
