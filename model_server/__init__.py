"""The embedded model server: TF Serving's contract in Python, for one machine.

    main -> flags, options
         -> model_server -> grpc_server -> rpc --+-> prediction_service -> inference.*
                         -> rest.* -----------/  +-> model_service          |
                         -> config_file -> models -> model_store <---lease--+
                                                         | loads through
                            loading: saved_model -> batching -> warm_up

Flags and files are checked, and the port is tried, before TensorFlow is imported: that starts at
`loading`. `errors` says what a request can fail with, `metrics` counts.
"""
