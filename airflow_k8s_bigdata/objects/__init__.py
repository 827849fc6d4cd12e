"""Pure facts of Kubernetes: names, quantities, pods, snapshots, log lines, diagnosis.

Functions and frozen dataclasses over plain dicts. No I/O, no clock, no asyncio, no Kubernetes client, no Airflow; and
nothing of Spark or any other workload, which live in `workloads`.
"""
