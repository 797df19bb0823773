"""Kubernetes' own control plane and Argo's own controller, on loopback: `make test-cluster`.

programs.py -> control_plane.py -> node.py -> argo.py
                        -> database.py, node.py, argo.py -> kfp_server.py
            -> network.py, control_plane.py -> kubelet.py -> nodes.py

Pods run as processes of this machine (node.py), or on Kubernetes' own kubelet (kubelet.py). Nothing
here is collected by `make test`.
"""
