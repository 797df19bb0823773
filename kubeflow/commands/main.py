"""The commands of `signs` for a cluster; what they do is imported when they are called."""

import typer

from kubeflow.commands import compile as compile_
from kubeflow.commands import submit

app = typer.Typer()
app.add_typer(compile_.app)
app.add_typer(submit.app)
