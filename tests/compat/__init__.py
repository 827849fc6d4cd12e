"""The Airflows, their Kubernetes providers and the Pythons that the metadata promises, each tried for real.

`python -m tests.compat` (or `make compat`) makes an environment for each row of `rows.ROWS` from its lock. There the
unit tests run, and then, in a real Airflow of that version, a task that waits, one that defers and two that are killed,
against one localkube of the project's own environment.
"""
