"""The embedded model server: TF Serving's contract in Python, for one machine.

    main -> flags -> model_server -> prediction_service, model_service -> models -> model_store
                                                                                    saved_model

Protobuf stops at the two services, TensorFlow starts at `saved_model`: the rest imports fast.
"""
