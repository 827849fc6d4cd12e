"""Pure descriptions of what can be run: what the author says, the objects it becomes, how its state is judged.

One module or package per system, independent of each other. No I/O, no asyncio, no Kubernetes client, no Airflow.
"""
