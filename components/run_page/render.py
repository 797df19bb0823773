"""Facts in, a page out: one file that needs no network and no script."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from components.run_page import charts, words
from components.run_page.facts import Facts, Run
from modules.evaluation import TWIN
from signs import features

_FOLDER = Path(__file__).parent
_OFTEN = 20  # pairs of classes


def report(facts: Facts, run: Run | None = None) -> str:
    """The page of a run; without `run` the model card, which says what is known before the push."""
    slices = [one for one in facts.test.slices if one.feature != features.CLASS_NAME]
    by_class = [one for one in facts.test.slices if one.feature == features.CLASS_NAME]
    sure = [one.confidence for one in facts.answers]
    return template("report.html").render(
        facts=facts,
        run=run,
        by_class=[(one.value, one) for one in by_class],
        slices=[(_slice(one.feature, one.value), one) for one in slices],
        splits=list(facts.counts),
        mosaics={(one.class_name, one.split): one for one in facts.mosaics},
        bins=charts.bins_of(sure, [one.is_right for one in facts.answers]),
        wrong=[one for one in facts.answers if not one.is_right],
        heated=[one for one in facts.answers if one.heat],
        differing=[
            one
            for one in facts.answers
            if one.baseline is not None and (one.baseline == one.class_name) != one.is_right
        ],
        pairs=_pairs(facts),
        use=list(words.intended_use(facts)),
        limits=list(words.limits(facts)),
        twins=words.without_twins(facts.test),
        settings=flat(facts.config),
    )


def template(name: str, folder: Path = _FOLDER) -> jinja2.Template:
    """A template of a folder, with the parts, the style and the filters of this one."""
    return _environment(folder).get_template(name)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings by their names with dots, as `--set` has them; not what the data are."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if prefix + name in ("data", "also_test"):
            continue
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = "null" if value is None else str(value)
    return found


@cache
def _environment(folder: Path) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": words.percent,
        "tail": lambda source_id: source_id.rpartition("/")[2] or source_id,
        "confusions": _confusions,
        "seconds": lambda value: "-" if value is None else f"{value:,.1f} s",
        "fields": asdict,
    }
    made.globals |= {
        "track": charts.track,
        "curves": charts.curves,
        "reliability": charts.reliability,
        "matrix": charts.matrix,
        "histogram": charts.histogram,
        "style": Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),
    }
    return made


def _slice(feature: str, value: str) -> str:
    if feature == TWIN:
        kinds = {"none": "no copy is trained on", "exact": "an exact copy is trained on"}
        return kinds.get(value, f"a {value} copy is trained on")
    return f"{feature} {value}"


def _confusions(
    counts: Sequence[Sequence[int]], class_names: Sequence[str]
) -> list[tuple[str, str, int]]:
    """The pairs of classes that are confused most: right one, answer, images."""
    found = [
        (class_names[row], class_names[column], count)
        for row, values in enumerate(counts)
        for column, count in enumerate(values)
        if count and row != column
    ]
    return sorted(found, key=lambda pair: -pair[2])[:_OFTEN]


def _pairs(facts: Facts) -> dict[str, int]:
    """Test images by which of candidate and baseline is right."""
    found = {"both": 0, "candidate": 0, "baseline": 0, "neither": 0}
    for one in facts.answers:
        if one.baseline is not None:
            baseline = one.baseline == one.class_name
            key = (
                ("both" if baseline else "candidate")
                if one.is_right
                else ("baseline" if baseline else "neither")
            )
            found[key] += 1
    return found
