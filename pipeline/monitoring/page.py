"""What `signs monitor` found, as one HTML file that needs nothing else."""

from pathlib import Path

from components.run_page import render as run_page
from components.run_page.pictures import thumbnail
from data.statistics.compare import MEASURES
from data.statistics.shares import shares
from pipeline.monitoring.monitor import ASKED, Monitored
from pipeline.monitoring.requests import Requests
from pipeline.monitoring.sight import MEASURE

_FOLDER = Path(__file__).parent
_SHOWN = 12  # of a kind of odd pictures


def render(found: Monitored, requests: Requests) -> str:
    """Returns the page; the pictures that it names are in it."""
    named = {one.id for anomaly in found.anomalies for one in anomaly.examples}
    named |= {one.id for examples in found.odd.values() for one in examples[:_SHOWN]}
    return run_page.template("page.html", _FOLDER).render(
        found=found,
        pictures={one.id: thumbnail(one.image) for one in requests.asked if one.id in named},
        shares={
            name: shares({ASKED: one, "training": found.training[name]})
            for name, one in found.pictures.items()
            if name in found.training
        },
        measures={**MEASURES, MEASURE: "Kolmogorov-Smirnov statistic"},
        shown=_SHOWN,
    )
