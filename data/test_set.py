"""A further test set: any source, all of whose pictures judge a model of other pictures.

    NAME=SOURCE -> sources_by_name -> {name: source}
    Source -> ForTest -> a Source with the model's classes, all of it in `test`

Classes are the same where their names are: labels are the model's, whatever the order in the
source.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from data import IngestError
from data.dataset_name import check_name, made_of
from data.sources import check_source
from data.sources.source import Emit, Ignored, Item, Progress, Rejection, Source, Surveyed
from signs.features import SPLITS, SYNTHETIC_DATASET, TEST

_SHOWN = 6
_MOST_NAMED = 20  # unknown classes that are counted by their names


@dataclasses.dataclass(frozen=True)
class ForTest:
    """A source as a further test set.

    Attributes:
        source: Has some of the classes; pictures of others are passed over, and counted.
        class_names: The model's, in label order.
    """

    source: Source
    class_names: tuple[str, ...]

    def survey(self, emit: Emit) -> Surveyed:
        """Lists the items whose class is known, all of them in `test`.

        Raises:
            IngestError: No item has a class that the model knows, or the source makes no sense.
        """
        known, used = frozenset(self.class_names), 0
        unknown: dict[str, None] = {}

        def take(found: Item | Rejection | Ignored | Progress) -> None:
            nonlocal used
            if isinstance(found, Item) and found.class_name in known:
                used += 1
                found = dataclasses.replace(found, split=TEST)
            elif isinstance(found, Item):
                what = "of other classes"
                if found.class_name in unknown or len(unknown) < _MOST_NAMED:
                    unknown[found.class_name] = None
                    what = f"of class {found.class_name!r}"
                found = Ignored(f"{what}, which the model does not know")
            emit(found)

        surveyed = self.source.survey(take)
        if unknown and not used:
            raise IngestError(
                f"{surveyed.name} has none of the model's classes, which are matched by name.\n"
                f"  the model's: {_listed(self.class_names)}\n"
                f"  here:        {_listed(list(unknown))}"
            )
        return dataclasses.replace(surveyed, class_names=self.class_names, proportions=None)

    def read(self, item: Item) -> bytes:
        """Returns the bytes of one image."""
        return self.source.read(item)

    def close(self) -> None:
        """Closes the source."""
        self.source.close()


def sources_by_name(specs: Sequence[str]) -> Mapping[str, str]:
    """Returns the sources of further test sets by name; nothing is read yet.

    Args:
        specs: Each NAME=SOURCE, or a source alone, which gives the name.

    Raises:
        IngestError: There is no such source, a name cannot be used, or two are the same.
    """
    found: dict[str, str] = {}
    for spec in specs:
        name, source = _split(spec)
        check_source(source)
        if name is None:
            name = _made_of(source)
        check_name(name)
        if name in SPLITS:
            raise IngestError(
                f"--also-test {spec}: {name!r} is a split of the data set itself; choose another "
                "name, as in --also-test customer=photos/"
            )
        if name in found:
            raise IngestError(
                f"two further test sets are called {name!r}: {found[name]} and {source}. Name one "
                f"of them, as in --also-test more-{name}={source}"
            )
        found[name] = source
    return found


def _split(spec: str) -> tuple[str | None, str]:
    name, equals, source = spec.partition("=")
    # A path may have an = in it; a name has no slash.
    if not equals or "/" in name or Path(spec).exists():
        return None, spec
    return name, source


def _made_of(source: str) -> str:
    if source == "signs":
        return source
    if source.partition(":")[0] == "synthetic":
        return SYNTHETIC_DATASET
    path = Path(source).expanduser().resolve()
    try:
        return made_of(path.name if path.is_dir() else path.stem)
    except IngestError as err:
        raise IngestError(
            f"no name for a further test set can be made of {source!r}: give one, as in "
            "--also-test customer=PATH"
        ) from err


def _listed(class_names: Sequence[str]) -> str:
    more = f" and {len(class_names) - _SHOWN:,} more" if len(class_names) > _SHOWN else ""
    return ", ".join(class_names[:_SHOWN]) + more
