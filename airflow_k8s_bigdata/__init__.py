"""Run Spark and other big-data jobs on Kubernetes from Apache Airflow."""

__version__ = "0.1.0"
