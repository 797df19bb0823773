"""Which version answers a request, where a share of the requests goes to another version.

    pictures or a key -> SHA-256 -> a number below 100 -> the label `traffic-NN` -> a version

Each of the labels `traffic-00` to `traffic-99` stands for a hundredth of the requests. What they
name is written where all labels are, in the file that the servers poll (`serving.rollout`), so a
client knows nothing of shares, and all of them follow at the same moment. TensorFlow Serving needs
to know nothing either: to it they are labels as any other.
"""

import hashlib
import re
from collections.abc import Iterable

TRAFFIC = "traffic"  # what a client is told to ask for
HUNDREDTHS = 100
_LABEL = re.compile(f"{TRAFFIC}-[0-9][0-9]")
_DIGEST_BYTES = 4  # as many as a shell can count with


def traffic_label(hundredth: int) -> str:
    """The label that stands for a hundredth of the requests, in [0, 100)."""
    return f"{TRAFFIC}-{hundredth:02d}"


def is_traffic_label(label: str) -> bool:
    """Whether it is one of those hundred."""
    return _LABEL.fullmatch(label) is not None


def label_for(parts: Iterable[bytes]) -> str:
    """The label that a request asks for: always the same for the same bytes, one after the other.

    Args:
        parts: the request's pictures, or the caller's key.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return traffic_label(int.from_bytes(digest.digest()[:_DIGEST_BYTES], "big") % HUNDREDTHS)
