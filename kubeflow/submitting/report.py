"""What `signs submit` says: what would be sent, what was started, how it ended."""

import os
from dataclasses import asdict, dataclass

from rich.console import Console

from kubeflow.submitting.api import Client
from kubeflow.submitting.arguments import images_of, values_of
from kubeflow.submitting.connection import Connection
from kubeflow.submitting.submit import Schedule, Started, Submission
from kubeflow.submitting.watch import Ended, follow
from pipeline.showing.wording import duration, say
from signs.command import INTERRUPTED


@dataclass
class Report:
    """A submission, and what became of it so far."""

    connection: Connection
    wanted: Submission
    schedule: Schedule | None = None
    started: Started | None = None
    ended: Ended | None = None
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 where all went well, 1 where the run did not succeed, 130 after Ctrl-C."""
        if self.interrupted:
            return INTERRUPTED
        return int(self.ended is not None and self.ended.status != "succeeded")

    def plan(self) -> dict[str, object]:
        """What would be sent, as JSON holds it."""
        pipeline = self.wanted.pipeline
        return {
            "pipeline": pipeline.name,
            "version": pipeline.version,
            "host": self.connection.host,
            "namespace": self.connection.namespace,
            "experiment": self.wanted.experiment_name,
            "pipeline_root": self.wanted.root,
            "service_account": self.wanted.service_account,
            "images": images_of(pipeline, self.wanted.arguments),
            "steps": pipeline.steps,
            "parameters": values_of(pipeline, self.wanted.arguments),
            "set": dict(self.wanted.arguments),
            "schedule": None if self.schedule is None else self.schedule.arguments(),
        }

    def render_plan(self, console: Console) -> None:
        """Prints what would be sent."""
        wanted, pipeline = self.wanted, self.wanted.pipeline
        say(console, f"{pipeline.path}: nothing wrong was found, nothing was sent")
        rows = {
            "server": self.connection.place,
            "pipeline": f"{pipeline.name}, version {pipeline.version}",
            "experiment": wanted.experiment_name,
            "artifacts": wanted.root or "where the cluster's kfp-launcher says",
            "image": ", ".join(images_of(pipeline, wanted.arguments)),
            "steps": " ".join(pipeline.steps),
            "starts": "once" if self.schedule is None else _when(self.schedule),
        }
        for label, words in rows.items():
            say(console, f"  {label:<11} {words}")
        for name, value in values_of(pipeline, wanted.arguments).items():
            mark = " (set)" if name in wanted.arguments else ""
            say(console, f"  parameter   {name} = {value!r}{mark}")

    def render_started(self, console: Console) -> None:
        """Prints what KFP made, and where to look at it."""
        assert self.started is not None
        if self.schedule is None:
            say(console, f"Run: {self.started.name}")
        elif self.started.is_new:
            say(console, f"Recurring run: {self.started.name}, {_when(self.schedule)}")
        else:
            say(console, f"Recurring run: {self.started.name} is there already, just like this")
        say(console, f"Look: {self._look()}")

    def wait(self, client: Client, console: Console, timeout_s: float | None) -> None:
        """Shows the run until it is over, or until Ctrl-C: the run itself goes on then."""
        assert self.started is not None
        try:
            self.ended = follow(
                client,
                self.connection,
                self.started.id,
                self.wanted.pipeline.steps,
                console,
                title=self.started.name,
                retried=self.wanted.pipeline.retried,
                timeout_s=timeout_s,
            )
        except KeyboardInterrupt:
            self.interrupted = True
            self.ended = Ended("running", error="it goes on, and is no longer waited for")

    def render_ended(self, console: Console) -> None:
        """Prints how the run ended; of one that goes on, how to look at it and how to end it."""
        assert self.started is not None
        assert self.ended is not None
        if self.ended.status == "succeeded":
            say(console, "Succeeded.")
            return
        say(console, f"{self.ended.status.capitalize()}: {self.ended.error}")
        if self.ended.status in ("running", "lost"):
            say(console, f"Look: {self._look()}")
            say(console, f"End:  {self._terminate()}")

    def as_dict(self) -> dict[str, object]:
        """What was started and how it ended, as JSON holds it."""
        assert self.started is not None
        return {
            "id": self.started.id,
            "name": self.started.name,
            "address": self._page(),
            "pipeline_id": self.started.pipeline_id,
            "version_id": self.started.version_id,
            "is_new": self.started.is_new,
            "status": None if self.ended is None else self.ended.status,
            "error": None if self.ended is None else self.ended.error,
            "steps": {
                name: asdict(state)
                for name, state in (self.ended.steps if self.ended else {}).items()
            },
        }

    def _page(self) -> str | None:
        """The page in KFP's web interface (frontend/src/components/Router.tsx)."""
        assert self.started is not None
        page = os.environ.get("KF_PIPELINES_UI_ENDPOINT") or self.connection.host
        kind = "runs" if self.schedule is None else "recurringrun"
        return None if page is None else f"{page.rstrip('/')}/#/{kind}/details/{self.started.id}"

    def _look(self) -> str:
        assert self.started is not None
        kind = "run" if self.schedule is None else "recurring run"
        return self._page() or (
            f"{kind} {self.started.id}, in the page that `kubectl port-forward --namespace "
            "kubeflow service/ml-pipeline-ui 8080:80` opens at http://localhost:8080"
        )

    def _terminate(self) -> str:
        assert self.started is not None
        if self.connection.host is None:
            return "`Terminate` in the run's page"
        token = ""
        if self.connection.token_file is not None:
            token = f'--header "Authorization: Bearer $(cat {self.connection.token_file})" '
        elif self.connection.token_env is not None:
            token = f'--header "Authorization: Bearer ${self.connection.token_env}" '
        address = f"{self.connection.host.rstrip('/')}/apis/v2beta1/runs/{self.started.id}"
        return f"`Terminate` in that page, or: curl --request POST {token}{address}:terminate"


def _when(schedule: Schedule) -> str:
    if schedule.cron is not None:
        return f"by cron at {' '.join(schedule.cron.split())}"
    return f"every {duration(schedule.every_s or 0)}"
