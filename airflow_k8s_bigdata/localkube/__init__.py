"""A Kubernetes API for laptops and CI whose pods are sandboxed processes.

An island: it imports no other room of this package and no other room imports it. The two meet through a
kubeconfig only, as a client and any cluster do.
"""
