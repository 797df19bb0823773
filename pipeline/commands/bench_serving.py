"""`signs bench-serving`: images, a load on a server, a table and a picture of what it took.

folder, zip, synthetic -> images -> serving.load -> Measured -> table, JSON, PNG
"""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.commands.options import (
    MOST_SECONDS,
    WORKSPACE,
    JsonOption,
    Question,
    WorkspaceOption,
    console,
    examples,
    print_json,
    spread,
)
from pipeline.showing.wording import say
from signs.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from serving.load import Load, Measured
    from signs.images import Images
    from signs.transports.transport import Transport

SYNTHETIC = "synthetic"
_SYNTHETIC_IMAGES = 32
# Enough that no cache answers for the model, few enough to be read at once.
_MOST_IMAGES = 256
_PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
_BLUE, _RED = "#2563a8", "#c0392b"

CLOSED_LOOP_NOTE = (
    "Closed loop: while an answer is slow its client asks nothing, so slow moments are met by few "
    "requests and the high percentiles flatter the server. --rate asks whether or not it answers."
)


class BenchError(UserError):
    """Images that cannot be used, or a picture that cannot be written."""


app = typer.Typer()


@app.command(
    "bench-serving",
    epilog=examples(
        "signs bench-serving",
        "signs bench-serving photos/ --clients 32 --duration 30 --picture bench.png",
        "signs bench-serving --rate 50 --address http://127.0.0.1:8501",
    ),
)
@spread
def bench_serving(
    question: Question,
    images: Annotated[
        str, typer.Argument(help="An image, a folder or a zip of them, or synthetic.")
    ] = "synthetic",
    clients: Annotated[
        int, typer.Option(min=1, max=1000, help="Requests at the same time, at most.")
    ] = 8,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=100_000,
            help="Requests a second, whether or not earlier ones are answered.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Images in a request.")] = 1,
    duration: Annotated[
        float, typer.Option(min=0.1, max=MOST_SECONDS, help="Seconds that are measured.")
    ] = 10.0,
    warm_up: Annotated[
        float, typer.Option(min=0, max=MOST_SECONDS, help="Seconds before, not measured.")
    ] = 2.0,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw latencies and throughput.")
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Put a load on a model server: latencies, throughput, errors."""
    from serving.load import Load
    from signs.client import connect
    from signs.transports.probe import place_of, what_it_speaks
    from signs.transports.transport import Target

    load = Load(clients, duration, warm_up, rate, batch, question.timeout)
    name = question.model_name(workspace)
    target = Target(name, question.version, question.label)
    tls, headers = question.tls, question.headers
    chosen = images_of(images)
    try:
        measured = measure(
            load,
            lambda: connect(question.address, target, tls=tls, headers=headers),
            chosen,
            Console(stderr=True),
        )
    except BenchError as error:
        place = place_of(question.address, is_encrypted=tls is not None)
        if (another := what_it_speaks(place)) is None:
            raise
        raise BenchError(f"{error} {another}") from error
    if picture is not None:
        draw_picture(measured, picture, f"{name} at {question.address}")
    if as_json:
        print_json(as_dict(measured))
    else:
        render(console(), measured)
    return 0


def images_of(source: str) -> list[bytes]:
    """The encoded images of a file, a folder or a zip; of `synthetic` drawn hands; at most 256.

    Raises:
        UserError: none, or one that is no image.
    """
    import zipfile

    from signs.images import InputError, Unanswered, read_each
    from signs.litter import litter

    found: Images
    is_zip = False
    if source == SYNTHETIC:
        from data.synthetic import draw

        found = [draw(0, index) for index in range(_SYNTHETIC_IMAGES)]
    elif is_zip := zipfile.is_zipfile(source):
        try:
            with zipfile.ZipFile(source) as archive:
                entries = [
                    entry
                    for entry in archive.infolist()
                    if not entry.is_dir() and not litter(PurePosixPath(entry.filename).parts)
                ]
                found = [archive.read(entry) for entry in entries[:_MOST_IMAGES]]
        except (OSError, RuntimeError, zipfile.BadZipFile) as error:  # RuntimeError: encrypted
            raise BenchError(f"{source}: cannot be read: {error}.") from error
    else:
        found = Path(source)
    try:
        readable = [item for item in read_each(found) if not isinstance(item, Unanswered)]
    except InputError as error:
        if is_zip:
            raise BenchError(f"{source}: no images in this zip.") from error
        raise
    return [image for _, image in readable][:_MOST_IMAGES]


def measure(
    load: "Load",
    make_transport: "Callable[[], Transport]",
    images: list[bytes],
    console: Console,
) -> "Measured":
    """Puts the load on the server, with a bar on `console`.

    Raises:
        BenchError: nothing was answered at all; the text has the statuses.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from serving.load import run

    seconds = load.warm_up_s + load.duration_s
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[requests]:,} requests, {task.fields[errors]:,} errors"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("Warming up", total=seconds, requests=0, errors=0)

        def show(now: float, requests: int, errors: int) -> None:
            bar.update(
                task,
                description="Warming up" if now < load.warm_up_s else "Measuring",
                completed=min(now, seconds),
                requests=requests,
                errors=errors,
            )

        measured = run(load, make_transport, images, show)
    if not measured.answered.any():
        statuses = ", ".join(f"{code} {count:,}" for code, count in measured.errors.items())
        raise BenchError(f"No request was answered: {statuses or 'none was sent'}.")
    return measured


def as_dict(measured: "Measured") -> dict[str, object]:
    """The figures; latencies in milliseconds, throughput in images a second."""
    load = measured.load
    return {
        "loop": "closed" if load.rate is None else "open",
        "clients": load.clients,
        "rate": load.rate,
        "batch_size": load.batch_size,
        "duration_s": load.duration_s,
        "requests": len(measured.codes),
        "throughput": measured.throughput,
        "latency_ms": _latencies_ms(measured),
        "errors": dict(measured.errors),
        "unsent": measured.unsent,
    }


def render(console: Console, measured: "Measured") -> None:
    """Prints the figures."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("requests", f"{len(measured.codes):,}")
    table.add_row("throughput", f"{measured.throughput:,.1f} images/s")
    for name, latency_ms in _latencies_ms(measured).items():
        table.add_row(f"latency {name}", f"{latency_ms:,.2f} ms")
    for code, count in measured.errors.items():
        table.add_row(code, f"{count:,}")
    if measured.unsent:
        table.add_row("due, not sent", f"{measured.unsent:,}")
    console.print(table)
    if measured.load.rate is None:
        say(console, CLOSED_LOOP_NOTE)
    elif measured.unsent:
        say(console, "The server, or so few clients, cannot keep up with that rate.")


def _latencies_ms(measured: "Measured") -> dict[str, float]:
    return {name: measured.percentile_ms(percent) for name, percent in _PERCENTILES.items()}


def draw_picture(measured: "Measured", path: Path, title: str) -> None:
    """Writes a PNG: latencies as a cumulative distribution, and throughput by second.

    Raises:
        BenchError: it cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    _draw_latencies(left, measured)
    _draw_throughput(right, measured)
    load = measured.load
    loop = (
        f"{load.clients} clients, closed loop"
        if load.rate is None
        else f"{load.rate:g} requests/s, open loop, at most {load.clients} at once"
    )
    images = "1 image" if load.batch_size == 1 else f"{load.batch_size} images"
    figure.suptitle(f"{title}: {loop}, {images} a request", fontsize=11)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, format="png")
    except OSError as error:
        raise BenchError(f"{path}: cannot be written: {error.strerror}.") from error
    finally:
        pyplot.close(figure)


def _draw_latencies(axes: "Axes", measured: "Measured") -> None:
    from matplotlib.ticker import LogLocator

    latencies = 1000 * measured.latency_s[measured.answered]
    axes.ecdf(latencies, color=_BLUE)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    marks = _latencies_ms(measured)
    shares = [percent / 100 for percent in _PERCENTILES.values()]
    axes.plot(list(marks.values()), shares, "o", color=_BLUE, markersize=4)
    # Few answers are quick, so the upper left corner is free.
    axes.text(
        0.04,
        0.95,
        "\n".join(f"{name}  {mark:,.1f} ms" for name, mark in marks.items()),
        transform=axes.transAxes,
        va="top",
        fontsize=10,
        linespacing=1.5,
    )
    axes.set_xlabel("latency of a request (ms, logarithmic)")
    axes.set_ylabel("share of answers that came within it")
    axes.set_ylim(0, 1.02)
    _tidy(axes)


def _draw_throughput(axes: "Axes", measured: "Measured") -> None:
    by_second = measured.throughput_by_second()
    axes.stairs(by_second, color=_BLUE, linewidth=1.6, label="answered")
    axes.set_xlabel("time (s)")
    axes.set_ylabel("images a second")
    refused = (measured.due_s + measured.latency_s)[~measured.answered]
    if len(refused):
        import numpy as np

        counts, _ = np.histogram(refused, np.arange(len(by_second) + 1))
        axes.stairs(counts * measured.load.batch_size, color=_RED, linewidth=1.6, label="refused")
        axes.legend(frameon=False)
    axes.set_ylim(bottom=0)
    _tidy(axes)


def _tidy(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
