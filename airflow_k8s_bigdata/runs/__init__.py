"""The flow of one run, written once and async: launch, follow, finish.

It knows workloads only through `workloads.base`, the cluster only through `kube`, and Airflow not at all. What it has
to say goes to a sink; what came of it is an `Outcome`, never an exception.
"""
