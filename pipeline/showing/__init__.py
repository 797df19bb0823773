"""A run as people see it: what it tells, where it stands, how that looks.

events.jsonl -> events -> run_state -> view, on the terminal; follow does so until the run ends

Runs on a cluster are shown by the same state and view.
"""
