"""Where the curated schema of the Examples is."""

from pathlib import Path


def schema_path(code_root: Path = Path(__file__).parents[1]) -> Path:
    """The path of the curated schema, a tensorflow_metadata Schema in text format.

    Args:
        code_root: the folder that holds `data/`; another machine has it elsewhere.
    """
    return code_root / "data" / "schema" / "schema.pbtxt"
