"""How a candidate is judged: on evidence, by TFMA.

thresholds -> checks -> config (TFMA's) -> TFMA, with our metrics -> verdict, row by row

A check holds one number of TFMA's against one limit: over all images of a test set, or within each
slice of it. A candidate is blessed if all checks pass.
"""

from modules.evaluation.checks import (
    ACCURACY,
    CALIBRATION,
    CORRUPTION,
    EXAMPLE_COUNT,
    NO_TWIN,
    TWIN,
    Check,
)
from modules.evaluation.config import eval_config
from modules.evaluation.thresholds import Thresholds

__all__ = [
    "ACCURACY",
    "CALIBRATION",
    "CORRUPTION",
    "EXAMPLE_COUNT",
    "NO_TWIN",
    "TWIN",
    "Check",
    "Thresholds",
    "eval_config",
]
