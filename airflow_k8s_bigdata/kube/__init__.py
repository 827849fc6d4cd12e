"""The one door to the Kubernetes API: requests, watches, logs.

Everything here is async, takes plain dicts and returns plain dicts, and turns every failure into an
`errors.ClusterError`. What the objects mean is not known here: see `objects` and `workloads`.
"""
