"""A web page to try the model on, served beside the REST API."""
