"""Whether a cluster tries the steps of a run again: told by what its Argo made of the run.

GET /apis/v1beta1/runs/{id} -> the Workflow, with the installation's defaults in it -> a warning

A compiled pipeline has the number of retries and their pauses, and no policy: KFP has no field for
one. Argo's own is to try again what fails; an installation's `workflowDefaults` go before that.
"""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from kubeflow.submitting.api import Client

# Of Argo's policies, those that leave out an exit code other than 0, and a container killed for
# memory (`processNodeRetries`, workflow/controller/operator.go).
_LEAVE_OUT = ("OnError", "OnTransientError")


def warning(client: Client, run_id: str) -> str | None:
    """What to know of this cluster's retries; None where they work, or nothing is told of them.

    Args:
        client: of KFP's API.
        run_id: of a run of which Argo has begun.
    """
    try:
        # The newer API does not have the Workflow.
        told = client._run_api.api_client.call_api(
            f"/apis/v1beta1/runs/{run_id}",
            "GET",
            auth_settings=["Bearer"],
            response_type="object",
            _return_http_data_only=True,
        )
        workflow = json.loads(told["pipeline_runtime"]["workflow_manifest"])
        policy = policy_of(workflow)
    except Exception:  # a server of another version, or one that may not be asked: no warning
        return None
    if policy not in _LEAVE_OUT:
        return None
    return (
        f"this cluster does not try steps again that fail or run out of memory: its Argo has "
        f"retryPolicy {policy} for all; kubeflow/README.md, step 1, says how to change that"
    )


def policy_of(workflow: Mapping[str, JsonValue]) -> str | None:
    """The policy that the installation has given to all templates; None where it has not."""
    found: JsonValue = dict(workflow)
    for key in ("spec", "templateDefaults", "retryStrategy", "retryPolicy"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else None
