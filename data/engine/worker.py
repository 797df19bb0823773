"""A worker of an engine: this environment's Python, as Beam's contract of SDK containers wants it.

    --id, --provision_endpoint, ... -> options of the job -> Beam's SDK worker, until it is let go

A pool starts it, or the engine itself (`--workers process`). Beam's own such program is written in
Go and installs what is staged; here all is installed already, and nothing is staged.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from signs.process import end_with_parent

EXIT_WITH_PARENT = "--exit-with-parent"
_FOLDER = "beam:option:engine_folder:v1"
_PROVISION_S = 60


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Works until the engine closes the connection."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    for name in ("control", "logging", "artifact"):
        parser.add_argument(f"--{name}_endpoint", default="")
    parser.add_argument(EXIT_WITH_PARENT, action="store_true")
    given, _ = parser.parse_known_args(argv)
    if given.exit_with_parent:
        end_with_parent()
    work(given)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # to take TensorFlow apart would take seconds


def work(given: argparse.Namespace) -> None:
    """Asks the engine for the job's options, and does its work."""
    name = given.id.strip("'")  # Prism puts quotes around it
    os.environ["WORKER_ID"] = name  # Beam reads it as it is imported
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2 as provision
    from apache_beam.portability.api import beam_provision_api_pb2_grpc as service
    from apache_beam.runners.worker import sdk_worker_main
    from google.protobuf import json_format

    with grpc.insecure_channel(given.provision_endpoint) as channel:
        info = (
            service.ProvisionServiceStub(channel)
            .GetProvisionInfo(
                provision.GetProvisionInfoRequest(),
                metadata=[("worker_id", name)],
                timeout=_PROVISION_S,
                wait_for_ready=True,
            )
            .info
        )
    control = info.control_endpoint.url or given.control_endpoint
    logs = info.logging_endpoint.url or given.logging_endpoint
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # others compute here, too
    os.environ.update(
        CONTROL_API_SERVICE_DESCRIPTOR=f'url: "{control}"',
        LOGGING_API_SERVICE_DESCRIPTOR=f'url: "{logs}"',
        PIPELINE_OPTIONS=json_format.MessageToJson(info.pipeline_options),
        RUNNER_CAPABILITIES=" ".join(info.runner_capabilities),
    )
    stand_in(info.pipeline_options.fields[_FOLDER].string_value)
    sdk_worker_main.main([])


def stand_in(folder: str) -> None:
    """Makes relative paths mean what they do to whoever sent the job, where that folder is."""
    if folder and Path(folder).is_dir():
        os.chdir(folder)
    elif folder:
        print(f"signs: this worker has no folder {folder}: relative paths lead nowhere", flush=True)


if __name__ == "__main__":
    main()
