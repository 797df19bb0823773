"""How folders of images say which class and split each one has; the same in a folder and a zip.

The structure decides, and names only say which split is which:

1. Folders that hold one folder and nothing else are wrappers, and are passed through.
2. A folder that holds images is a class, whatever it is called.
3. Folders that hold the same folders are splits; a word in the name of each says which. A folder
   of images without class folders beside them has no classes to give, and is left out.

What these do not decide is not guessed: the user is shown the tree and asked.
"""

import dataclasses
import re
import textwrap
from collections.abc import Mapping, Sequence

from data import IngestError
from data.sources.layouts.answers import NO_ANSWERS, Answers
from data.sources.layouts.layout import Layout, NoClasses
from data.sources.layouts.tree import PACKED, Tree
from data.sources.names import Parts, display_name, natural_order, split_of
from data.splits import Proportions
from signs.features import EVAL, SPLITS, TEST, TRAIN

_SIGNS = re.compile(r"(train|val|dev|test)_signs", re.IGNORECASE)
# Folders of this name hold what others divide; they are no classes.
_CONTAINERS = re.compile(
    r"(images?|imgs?|pictures?|photos?|jpe?gs?|pngs?|data|datasets?|labels?|annotations?|masks?)",
    re.IGNORECASE,
)
_SHOWN = 3
_WIDTH = 79
_NO_BREAK = "\N{NO-BREAK SPACE}"


def detect(tree: Tree, where: str, answers: Answers = NO_ANSWERS) -> Layout:
    """Finds out what the folders of a source mean.

    Args:
        tree: What lies in the source.
        where: The source, for messages.
        answers: What the user says of it.

    Raises:
        IngestError: There are no folders of images, or their meaning is not clear.
    """
    if answers.layout == "none":
        return NoClasses()
    asking = _Asking(tree, where)
    if not tree.below:
        raise IngestError(_no_images(tree, where))
    if answers.splits:
        return _answered(tree, answers, asking)
    prefix, node = _unwrapped(tree)
    if node.tables:
        return _tables({prefix: None}, {}, tree, asking)
    inner = {name: _passed(prefix, name, folder) for name, folder in node.filled.items()}
    return _Choice(tree, node, prefix, inner, answers, asking).layout()


@dataclasses.dataclass(frozen=True)
class _Asking:
    """Refuses to guess."""

    tree: Tree
    where: str

    def error(self, what: str, *ways: str) -> IngestError:
        """Returns what to tell: what is unclear, what lies there, and the possible answers."""
        if self.tree.lists:
            table = f"a table says the classes? Name it instead, unpacked: {self.tree.lists[0]}"
            ways = (*ways, table)
        lines = [
            f"it is not clear how {self.where} is meant:",
            _folded(f"{what}{'' if what.endswith('?') else '.'} It holds:", ""),
            self.tree.drawn(),
            *(["Say what is meant, one of"] if ways else []),
            *(_folded(f"  {way}", "    ") for way in ways),
        ]
        return IngestError("\n".join(lines))


@dataclasses.dataclass(frozen=True)
class _Choice:
    """Classes or splits: the decision over the top folders.

    Attributes:
        inner: For each top folder the path and the folder that hold its class folders, if any.
    """

    tree: Tree
    node: Tree
    prefix: Parts
    inner: Mapping[str, tuple[Parts, Tree]]
    answers: Answers
    asking: _Asking

    @property
    def leaves(self) -> Sequence[str]:
        """The top folders that hold images themselves."""
        return natural_order([n for n, (_, f) in self.inner.items() if f.is_leaf and not f.tables])

    @property
    def branches(self) -> Sequence[str]:
        """The top folders that hold folders of images, or a table."""
        return natural_order(self.inner.keys() - set(self.leaves))

    def layout(self) -> Layout:
        """Decides.

        Raises:
            IngestError: It cannot be decided.
        """
        if self.answers.layout == "classes":
            return self._classes()
        if any(_SIGNS.fullmatch(name) for name in self.leaves):
            return self._splits(self.leaves, is_signs=True)
        told = self.answers.layout == "splits"
        has_tables = any(folder.tables for _, folder in self.inner.values())
        if told or has_tables or any(map(split_of, self.branches)):
            reason = self._against_names() or (None if told else self._against_splits())
        else:
            reason = self._against_classes()
            if not reason:
                return self._classes()
        if reason:
            raise self._unclear(reason)
        return self._splits(self.branches, is_signs=False)

    def _against_names(self) -> str | None:
        """Returns why the names do not say which split each folder of class folders is."""
        by_split: dict[str, str] = {}
        for name in self.branches:
            split = split_of(name)
            if split is None:
                return f"which split is {name!r}? Its name does not say"
            if split in by_split:
                return f"{by_split[split]!r} and {name!r} both sound like {split}"
            by_split[split] = name
        if TRAIN not in by_split:
            return f"no folder of class folders sounds like train: {_listed(self.branches)}"
        return None

    def _against_splits(self) -> str | None:
        """Returns why the structure is not that of splits, though the names are."""
        train = next(name for name in self.branches if split_of(name) == TRAIN)
        for name in self.leaves:
            if split_of(name) is None and len(self.branches) < 2:
                return f"is {name!r} a class, or are {train!r} and what else splits?"
            if split_of(name) == TRAIN:
                return f"{train!r} holds class folders, {name!r} holds images"
        known = self._classes_in(train)
        for name in self.branches:
            if known and (more := self._classes_in(name) - known):
                return f"{name!r} holds {_listed(more)}, and {train!r} no folder of that name"
        return None

    def _against_classes(self) -> str | None:
        """Returns why the top folders are not simply the classes."""
        if not self.inner:
            return "its images lie side by side, in no class folders"
        if len(self.inner) < 2:
            return f"only one folder holds images, {next(iter(self.inner))!r}"
        splits = [name for name in self.leaves if split_of(name)]
        if len(set(map(split_of, splits))) > 1:
            return f"{_listed(splits)} sound like splits, and hold no class folders"
        for name in self.branches:
            within = self._classes_in(name)
            beside_one = len(self.inner) == 2 and self.leaves and len(within) > 1
            if beside_one or not within.isdisjoint(self.leaves):
                return f"is {name!r} a class, or are the classes in it: {_listed(within)}?"
        for name in natural_order(self.inner):
            if _CONTAINERS.fullmatch(name):
                return f"{name!r} does not sound like a class"
        seen: dict[str, str] = {}
        for name in self.branches:
            for folder in natural_order(self._classes_in(name)):
                if folder in seen:
                    return (
                        f"{seen[folder]!r} and {name!r} both hold {folder!r}. Are they splits? "
                        "Their names do not say which"
                    )
                seen[folder] = name
        if self.prefix and (split := split_of(self.prefix[-1])) in (EVAL, TEST):
            return f"all of it lies in {self.prefix[-1]!r}: only {split} images?"
        return None

    def _classes_in(self, name: str) -> set[str]:
        return set(self.inner[name][1].filled)

    def _classes(self) -> Layout:
        declared = frozenset(self.node.folders)
        if len(self.node.filled) < 2:
            raise self._unclear(f"only one folder holds images, {_listed(self.node.filled)}")
        where = f" in {'/'.join(self.prefix)}" if self.prefix else ""
        return Layout(
            {self.prefix: None}, {}, declared, Proportions.missing(()), f"class folders{where}"
        )

    def _splits(self, names: Sequence[str], *, is_signs: bool) -> Layout:
        roots: dict[Parts, str | None] = {}
        for name in names:
            if split := split_of(name):
                roots[self.inner[name][0]] = split
        left_out = {
            (*self.prefix, name): f"in {name}, which has no class folders"
            for name in self.inner.keys() - set(names)
        }
        return _divided(roots, left_out, self.tree, self.asking, is_signs=is_signs)

    def _unclear(self, reason: str) -> IngestError:
        names = natural_order(self.inner)
        if len(names) < 2:
            return self.asking.error(f"{reason}. Expected a folder for each class, or a table")
        options = self._options(names)
        ways = [f"{' '.join(options)}  (one for each folder)"]
        if self.answers.layout != "splits" and not self._against_names():
            ways.append("--layout splits  (as the folders' names say)")
        if self.answers.layout != "classes" and len(names) > 1:
            ways.append("--layout classes  (each top folder is a class; we divide them)")
        return self.asking.error(reason, *ways)

    def _options(self, names: Sequence[str]) -> list[str]:
        """Returns --split for each split, with folders where names or the structure suggest one."""
        if self.prefix and (all_of_it := split_of(self.prefix[-1])):
            return [f"--split {all_of_it}={_quoted('/'.join(self.prefix))}"]
        folders: dict[str | None, str | None]
        folders = {split_of(name): name for name in reversed(names)}
        branches = [name for name in names if not self.inner[name][1].is_leaf]
        if TRAIN not in folders and len(branches) == 1 < len(names):
            folders = {TRAIN: branches[0]}
        elif TRAIN not in folders or folders.keys() <= {TRAIN, None}:
            folders = {TRAIN: folders.get(TRAIN), TEST: folders.get(TEST)}
        paths = {
            split: _quoted("/".join((*self.prefix, name))) if name else "FOLDER"
            for split, name in folders.items()
        }
        return [f"--split{_NO_BREAK}{split}={paths[split]}" for split in SPLITS if split in paths]


def _answered(tree: Tree, answers: Answers, asking: _Asking) -> Layout:
    """Returns the layout that --split tells."""
    prefix, _ = _unwrapped(tree)
    roots: dict[Parts, str | None] = {}
    for split, text in answers.splits:
        parts = tuple(display_name(part) for part in text.split("/") if part not in ("", "."))
        found = next((p for p in (parts, (*prefix, *parts)) if tree.at(p)), None)
        folder = tree.at(found) if found is not None else None
        if found is None or folder is None or not folder.below:
            what = "holds no images" if folder else "is not there"
            raise asking.error(f"the folder of --split {split}={text} {what}")
        path, folder = _passed(found[:-1], found[-1], folder) if found else ((), folder)
        if folder.is_leaf and not folder.tables:
            raise asking.error(f"{text!r} holds images, and no class folders")
        if any(path[: len(o)] == o or o[: len(path)] == path for o in roots):
            raise asking.error(f"{text!r} lies in another folder of --split, or is one")
        roots[path] = split
    return _divided(roots, {(): "in no folder that --split names"}, tree, asking, is_signs=False)


def _divided(
    roots: Mapping[Parts, str | None],
    left_out: Mapping[Parts, str],
    tree: Tree,
    asking: _Asking,
    *,
    is_signs: bool,
) -> Layout:
    """Returns a layout of split folders; eval and test may have to come out of train."""
    if any((folder := tree.at(path)) and folder.tables for path in roots):
        return _tables(roots, left_out, tree, asking)
    proportions = Proportions.missing({split for split in roots.values() if split})
    folders = {path: tree.at(path) or Tree() for path in roots}
    declared = (
        frozenset() if is_signs else frozenset(n for f in folders.values() for n in f.folders)
    )
    if not is_signs and len(declared) < 2:
        raise asking.error(f"only one class has a folder, {_listed(declared)}")
    return Layout(
        roots={
            path: None if split == TRAIN and proportions else split for path, split in roots.items()
        },
        left_out=left_out,
        declared=frozenset() if is_signs else declared,
        proportions=proportions,
        in_words=_in_words(roots, proportions),
        is_signs=is_signs,
    )


def _tables(
    roots: Mapping[Parts, str | None], left_out: Mapping[Parts, str], tree: Tree, asking: _Asking
) -> Layout:
    """Returns the layout of a folder with a table, or of split folders with a table each."""
    tables = []
    for path, split in roots.items():
        names = (tree.at(path) or Tree()).tables
        if len(names) != 1:
            found = " and ".join(names) or "no table"
            where = "/".join(path) or "the folder"
            ways = (f"--data .../{'/'.join((*path, name))}" for name in names)
            raise asking.error(f"{where} holds {found}, one is needed", *ways)
        tables.append(((*path, names[0]), split))
    in_words = " and ".join("/".join(path) for path, _ in tables)
    return Layout(roots, left_out, frozenset(), None, in_words, tables=tuple(tables))


def _unwrapped(tree: Tree) -> tuple[Parts, Tree]:
    """Passes through folders that hold one folder of images and no image."""
    prefix: Parts = ()
    while len(tree.filled) == 1 and not tree.is_leaf and not tree.tables:
        ((name, inner),) = tree.filled.items()
        if inner.is_leaf and not inner.tables:
            break
        prefix, tree = (*prefix, name), inner
    return prefix, tree


def _passed(prefix: Parts, name: str, folder: Tree) -> tuple[Parts, Tree]:
    """Passes through a wrapper within a split: seg_train/seg_train, train/images."""
    path = (*prefix, name)
    while len(folder.filled) == 1 and not folder.is_leaf and not folder.tables:
        ((inner, below),) = folder.filled.items()
        same = inner.casefold() == path[-1].casefold()
        if not (same or _CONTAINERS.fullmatch(inner) or split_of(inner) in {*SPLITS}):
            break
        path, folder = (*path, inner), below
    return path, folder


def _no_images(tree: Tree, where: str) -> str:
    """Says what is there instead of images."""
    if not tree.others:
        what = "only empty folders" if tree.folders else "nothing"
        return f"{where} holds {what}: no images. Expected one folder per class."
    kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in tree.others.most_common(_SHOWN))
    files = f"{tree.others.total():,} files" if tree.others.total() > 1 else "1 file"
    packed = [suffix for suffix in tree.others if suffix in PACKED]
    unpack = f" Unpack the {packed[0]} first, or name it." if packed else ""
    return f"{where} holds {files} and none of them is an image: {kinds}.{unpack}"


def _in_words(roots: Mapping[Parts, str | None], proportions: Proportions | None) -> str:
    order = sorted(roots.items(), key=lambda root: SPLITS.index(root[1] or TRAIN))
    told = ", ".join(f"{split} from {'/'.join(path)}" for path, split in order)
    missing = [split for split in SPLITS if split not in roots.values()] if proportions else []
    return f"{told}, {' and '.join(missing)} out of train" if missing else told


def _listed(names: "Sequence[str] | set[str] | frozenset[str] | Mapping[str, object]") -> str:
    shown = natural_order(tuple(names))
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(map(repr, shown[:_SHOWN])) + more


def _folded(line: str, indent: str) -> str:
    folded = textwrap.fill(
        line,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return folded.replace(_NO_BREAK, " ")


def _quoted(path: str) -> str:
    return f"'{path}'" if re.search(r"[^\w./-]", path) else path
