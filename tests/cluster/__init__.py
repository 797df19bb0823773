"""Kubernetes' own control plane and Argo's own controller, on loopback: `make test-cluster`.

programs.py -> control_plane.py -> node.py -> argo.py

Pods run as processes of this machine: see node.py. Nothing here is collected by `make test`.
"""
