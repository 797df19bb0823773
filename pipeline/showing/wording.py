"""Numbers and lines as people read them."""

from collections.abc import Sequence

from rich.console import Console


def clock(seconds: float) -> str:
    """Seconds as a clock shows them: `0:05`, `1:23`, `2:03:04`."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def duration(seconds: float) -> str:
    """Seconds in words: `5.2 s`, `48 s`, `6 min 12 s`, `2 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours} h {minute:02} min" if hours else f"{minute} min {second:02} s"


def about(seconds: float) -> str:
    """Seconds that are only expected: `about 25 s`, `about 6 min`, `about 2 h 10 min`."""
    if seconds < 57.5:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min"
    hours, minute = divmod(10 * round(minutes / 10), 60)
    return f"about {hours} h {minute:02} min" if minute else f"about {hours} h"


def percent(fraction: float | None) -> str:
    """A fraction as `87.5 %`; a dash where there is none."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def shorten(items: Sequence[str], most: int = 3) -> list[str]:
    """The first few of a list, and how many there are more."""
    more = [f"and {len(items) - most} more"] if len(items) > most else []
    return [*items[:most], *more]


def tell(console: Console, words: str) -> None:
    """Prints plain text, folded between words at the terminal's edge: it is there to be read."""
    console.print(words, markup=False, highlight=False, emoji=False)


def say(console: Console, words: str) -> None:
    """Prints one line of plain text, never wrapped: paths and commands are there to be copied."""
    console.print(words, markup=False, highlight=False, emoji=False, soft_wrap=True)
