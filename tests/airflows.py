"""Names of Airflow's that tests use and that its supported versions have in different places."""

from __future__ import annotations

from typing import Any

import pytest

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # 3.1
    from airflow.exceptions import TaskDeferred

try:
    from airflow.sdk import serde
except ImportError:  # 3.1
    from airflow.serialization import serde

try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # 3.1
    from airflow.serialization.serialized_objects import (
        SerializedDAG as DagSerialization,
    )

__all__ = ["DagSerialization", "TaskDeferred", "allow_in_xcoms", "deserialize", "serialize", "trigger_argument"]

serialize, deserialize = serde.serialize, serde.deserialize


def trigger_argument(stored: Any) -> Any:
    """A trigger's argument as the triggerer takes it from its row."""
    try:
        from airflow.serialization.decoders import smart_decode_trigger_kwargs
    except ImportError:  # 3.1
        from airflow.serialization.serialized_objects import (
            smart_decode_trigger_kwargs,
        )
    return smart_decode_trigger_kwargs(stored)


def allow_in_xcoms(noun: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a class in the option that allows it in XComs, where Airflow has no other way (before 3.3)."""
    if hasattr(serde, "allow_class"):
        return
    name = f"{noun.__module__}.{noun.__qualname__}"
    monkeypatch.setenv("AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES", f"airflow.* {name}")
    serde._match_glob.cache_clear()
    serde._get_patterns.cache_clear()
