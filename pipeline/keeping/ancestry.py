"""What a pushed version was made from, and what was made from it.

ML Metadata + assets.extra/provenance.intoto.json -> Ancestry
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.environment import Workspace
from pipeline.keeping.lineage import Lineage, Made
from signs.errors import UserError
from signs.versions import version_name
from trust.provenance import STATEMENT

Way = Literal["trained on from it", "compared with it"]
_WAYS: dict[str, Way] = {
    "base_model": "trained on from it",
    "baseline_model": "compared with it",
}


@dataclass(frozen=True)
class Material:
    """Something that the version's own statement names.

    Args:
        name: what it is.
        sha256: its digest; "" where it is not known.
        source: of data: where the images came from.
    """

    name: str
    sha256: str
    source: str | None = None


@dataclass(frozen=True)
class Ancestor:
    """An artifact that the version was made from.

    Args:
        id: in ML Metadata.
        component: that made it.
        type: of the artifact.
        path: in the workspace.
        run: that made it; others may have reused it.
        live: whether it was not pruned.
    """

    id: int
    component: str
    type: str
    path: str
    run: str | None
    live: bool


@dataclass(frozen=True)
class Descendant:
    """A later model, as which one of this version's was needed.

    Args:
        way: what for.
        id: of the model in ML Metadata.
        path: in the workspace.
        run: that made it.
        versions: as which it was pushed.
    """

    way: Way
    id: int
    path: str
    run: str | None
    versions: tuple[int, ...]


@dataclass(frozen=True)
class Ancestry:
    """Both ways from a version.

    Args:
        model: its name.
        version: its number.
        run: that pushed it first.
        materials: what its statement names; () for a version without one.
        made_from: the artifacts behind it, the latest first.
        made_from_it: later models.
    """

    model: str
    version: int
    run: str | None
    materials: tuple[Material, ...]
    made_from: tuple[Ancestor, ...]
    made_from_it: tuple[Descendant, ...]


def ancestry(workspace: Workspace, model: str, version: int) -> Ancestry:
    """Looks up a version.

    Raises:
        UserError: it was never pushed here, or the metadata cannot be used.
    """
    lineage = Lineage(workspace)
    pushes = lineage.of_versions(model, [version])
    if not pushes:
        there = sorted(
            {
                int(made.words["pushed_version"])
                for made in lineage.artifacts.values()
                if made.pipeline == model and made.words.get("pushed_version")
            }
        )
        raise UserError(
            f"the metadata of {workspace.root} know no {model} {version_name(version)}; they know "
            f"{', '.join(map(version_name, there)) or 'no version'}"
        )
    first = lineage.artifacts[min(pushes)]
    behind = sorted(lineage.upstream([first.id]) - {first.id}, reverse=True)
    return Ancestry(
        model=model,
        version=version,
        run=lineage.run_of(first),
        materials=tuple(_materials(workspace.serving(model) / str(version) / STATEMENT)),
        made_from=tuple(_ancestor(lineage, lineage.artifacts[id]) for id in behind),
        made_from_it=tuple(_descendants(lineage, lineage.models_of(pushes))),
    )


def _ancestor(lineage: Lineage, made: Made) -> Ancestor:
    run = lineage.run_of(made)
    return Ancestor(made.id, made.component, made.type, str(made.path), run, made.live)


def _descendants(lineage: Lineage, models: set[int]) -> Iterator[Descendant]:
    for id, way in sorted(lineage.later_models(models).items()):
        made = lineage.artifacts[id]
        pushed = (lineage.artifacts[push] for push in lineage.pushes_of(id))
        versions = sorted({int(one.words["pushed_version"]) for one in pushed})
        yield Descendant(_WAYS[way], id, str(made.path), lineage.run_of(made), tuple(versions))


def _materials(statement: Path) -> Iterator[Material]:
    # What stands there is told, and no more: `signs verify` says whether it is what was signed.
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        told = json.loads(statement.read_text("utf-8"))
        for one in told["predicate"]["buildDefinition"]["resolvedDependencies"]:
            source = one.get("annotations", {}).get("source")
            yield Material(one["name"], one.get("digest", {}).get("sha256", ""), source)
