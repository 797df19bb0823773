"""TFDV's statistics in its own view, Facets, as a page that needs no network.

TFDV's `visualize_statistics` loads that view from the network. facets.html.gz is
facets-dist/facets-jupyter.html of PAIR-code/facets at 44d9b60 (Apache 2.0), less its fonts, which
it would load from elsewhere; today's browsers need no more to show it.
"""

import base64
import gzip
from pathlib import Path

from markupsafe import escape

STATISTICS = "statistics.pb"  # in RunReport's artifact: a DatasetFeatureStatisticsList, by split
_FACETS = Path(__file__).with_name("facets.html.gz")


def page(name: str, statistics: bytes) -> str:
    """The page, 2.3 MB.

    Args:
        name: of the data set.
        statistics: a serialized DatasetFeatureStatisticsList, a data set for each split.
    """
    view = gzip.decompress(_FACETS.read_bytes()).decode().removeprefix("<!doctype html>")
    given = base64.b64encode(statistics).decode()
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(name)}: statistics'
        f'</title><link rel="icon" href="data:,">{view}'
        f'<facets-overview proto-input="{given}"></facets-overview></html>'
    )
