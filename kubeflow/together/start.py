"""What TFX's Trainer calls where several pods train: it has them do so, and takes what they made.

FnArgs -> exchange -> a job, awaited with its progress -> exchange -> model, model_run

The job goes with the step: it is deleted when it has succeeded and when the step is told to end,
and is owned by the step's pod, which takes it along where nobody was told. One that has failed
stays as long as that pod, for its logs. A step that is tried again starts a new job, which goes on
after the last epoch that was kept.
"""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kubeflow.step import ending
from kubeflow.together.cluster import Cluster, ClusterError, Job
from kubeflow.together.exchange import Exchange
from kubeflow.together.joint_training import JointTraining
from kubeflow.together.manifest import job as job_manifest
from modules.training.errors import TrainingError
from modules.training.job import TrainingJob

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

LOGGER = logging.getLogger(__name__)

POLL_S = 3.0
PATIENCE_S = 600.0  # for an API server that restarts


def run_fn(fn_args: "FnArgs") -> None:
    """Has the workers of a job train; see `modules.trainer.run_fn`, which each of them calls.

    Raises:
        TrainingError: the job failed, or somebody has deleted it.
        ClusterError: Kubernetes refuses, or is silent for too long.
    """
    wanted = JointTraining.from_custom_config(fn_args.custom_config)
    checkpoints = TrainingJob.from_custom_config(fn_args.custom_config).checkpoints
    cluster = Cluster.here()
    image, owner = cluster.own_pod()
    exchange = Exchange.of(fn_args, str(checkpoints))
    job = Job(wanted.kind, f"signs-train-{exchange.folder.name}")
    cluster.remove(job)  # of an attempt before: its workers write to the same folder
    arguments = exchange.hand_over(fn_args)
    manifest = job_manifest(wanted, job.name, image, [f"--arguments={arguments}"], owner)
    with ending.before_end(lambda: cluster.delete(job)):
        cluster.start(job, manifest)
        LOGGER.info("%s of %d workers, in %s", job, wanted.workers, cluster.namespace)
        _await(cluster, job, exchange)
    exchange.take(fn_args)
    cluster.delete(job)
    exchange.remove()


def _await(cluster: Cluster, job: Job, exchange: Exchange) -> None:
    """Tells of the training until it has succeeded."""
    heard = time.monotonic()
    told, pods = 0, [""]
    while True:
        told = _tell(exchange.log, told)
        try:
            state, words = cluster.state(job)
            if state == "going on" and (now := cluster.pods(job)) != pods:
                pods = now
                LOGGER.info("%s", "; ".join(pods) or "no pod yet")
        except ClusterError as err:
            if not err.passing or time.monotonic() - heard > PATIENCE_S:
                raise
            time.sleep(POLL_S)
            continue
        heard = time.monotonic()
        if state == "succeeded":
            _tell(exchange.log, told)
            return
        if state == "gone":
            raise TrainingError(f"somebody has deleted the {job}")
        if state == "failed":
            _tell(exchange.log, told)
            raise TrainingError(_reason(cluster, job, exchange, words))
        time.sleep(POLL_S)


def _reason(cluster: Cluster, job: Job, exchange: Exchange, words: str) -> str:
    """Why a job failed: what a worker says of itself, else its pod, else the operator."""
    if said := exchange.error():
        return said
    try:
        ended = [pod for pod in cluster.pods(job) if " has ended: " in pod]
    except ClusterError:
        ended = []
    return f"the {job} failed: {(ended or [words])[0]}"


def _tell(log: Path, told: int) -> int:
    """Repeats what is new in the chief's log; how much of it is told."""
    try:
        with log.open("rb") as file:
            file.seek(told)
            new = file.read()
    except FileNotFoundError:
        return told
    whole, line_end, _ = new.rpartition(b"\n")
    for line in whole.decode(errors="replace").splitlines():
        LOGGER.info("%s", line)
    return told + len(whole) + len(line_end)
