"""SuspectLabels: which labels of a data set look wrong."""

from components.suspect_labels.component import SuspectLabels

__all__ = ["SuspectLabels"]
