"""The DAG, its configuration, its runners and the command line."""
