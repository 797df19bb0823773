"""The page of a run: facts, templates, style and drawings; no script, and nothing from elsewhere.

It imports no TFX: the command line makes pages, too.
"""
