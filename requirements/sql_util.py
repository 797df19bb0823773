"""The module `tfx_bsl.arrow.sql_util`, which set-up adds where the lock is old-glibc.

TFDV 1.16.1 imports it, and tfx-bsl 1.21 has dropped it with ZetaSQL. Slices that are written in SQL
need it and nothing else does.
"""


class RecordBatchSQLSliceQuery:
    """Stands for the query of an SQL slice."""

    def __init__(self, query: str, schema: object) -> None:
        raise NotImplementedError(f"tfx-bsl 1.21 knows no slices in SQL. Received: {query}")
