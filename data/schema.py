"""Where the curated schema of the Examples is."""

from pathlib import Path


def schema_path() -> Path:
    """Returns the path of the curated schema, a tensorflow_metadata Schema in text format."""
    return Path(__file__).with_name("schema") / "schema.pbtxt"
