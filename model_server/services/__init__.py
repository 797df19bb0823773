"""TF Serving's two services as plain methods: a request message in, a response message out.

gRPC and REST both come through here.
"""
