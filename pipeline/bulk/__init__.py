"""Answers for whole sources of pictures, without a server: `signs predict --bulk`.

    source -> Listing (parts) -> Beam: read, RunInference, a file for each part -> FILE

A part is what is done or not. Its file appears whole, so that a run that was killed goes on with
the parts that are missing, and FILE is the same as if nothing had happened.
"""
