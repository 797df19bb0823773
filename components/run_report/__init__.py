"""RunReport: one page of what a run has found, which goes along with the pushed model."""

from components.run_report.component import RunReport

__all__ = ["RunReport"]
