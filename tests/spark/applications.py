"""Applications that tests start from, and what they look at in their objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.spark import SparkApplication, properties

IDENTITY = Identity("airflow.example", "etl", "scheduled__2026-01-01T00:00:00+00:00", "orders")
PYTHON = SparkApplication(main="local:///opt/app/job.py", image="apache/spark:4.3.0-python3")
JVM = SparkApplication(main="local:///opt/app/job.jar", main_class="com.example.Job", image="apache/spark:4.3.0")

Object = dict[str, Any]


def only(objects: Iterable[Object], kind: str) -> Object:
    """The one object of a kind."""
    [found] = [obj for obj in objects if obj["kind"] == kind]
    return found


def container(objects: Iterable[Object]) -> Object:
    """Spark's container in the driver's pod."""
    found: Object = only(objects, "Pod")["spec"]["containers"][-1]
    return found


def spark_properties(objects: Iterable[Object]) -> dict[str, str]:
    """What the driver reads as its configuration."""
    [text] = [obj["data"]["spark.properties"] for obj in objects if "spark.properties" in (obj.get("data") or {})]
    return properties.load(text)
