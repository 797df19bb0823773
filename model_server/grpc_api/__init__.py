"""TF Serving's gRPC API: the server and its port, and the services that every gRPC server has."""
