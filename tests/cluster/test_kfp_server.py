"""`signs submit` beside KFP's own API server."""

import pytest

from tests.cluster.kfp_server import KfpServer

pytestmark = pytest.mark.timeout(1800)


def test_it_is_up(kfp_server: KfpServer) -> None:
    try:
        print(kfp_server.get("healthz"))
        print(kfp_server.memory_mib())
    finally:
        import time
        time.sleep(5)
        for n in ("ml-pipeline", "ml-pipeline-persistenceagent", "ml-pipeline-scheduledworkflow"):
            print("=====", n); print(kfp_server.said(n)[-3000:])
