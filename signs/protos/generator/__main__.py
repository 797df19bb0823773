"""`make protos`: writes the descriptor set and its types."""

from signs.protos import pool
from signs.protos.generator import descriptor_set, type_stubs


def main() -> None:
    """Writes both files."""
    files = descriptor_set.collect()
    pool.FILE.write_bytes(files.SerializeToString(deterministic=True))
    pool.FILE.with_name("__init__.pyi").write_text(type_stubs.text(files))


if __name__ == "__main__":
    main()
