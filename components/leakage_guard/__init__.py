"""LeakageGuard: which images of a data set would make its scores better than they are."""

from components.leakage_guard.component import LeakageGuard

__all__ = ["LeakageGuard"]
