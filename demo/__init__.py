"""`make demo`: real Airflow runs real Spark jobs through localkube, on this machine.

`airflow.py` starts and ends Airflow's processes and speaks to its REST API; `__main__.py` tells the story. The
end-to-end tests use the same parts.
"""
