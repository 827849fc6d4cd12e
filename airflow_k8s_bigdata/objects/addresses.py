"""Addresses of object storages and pages as authors write them."""

from __future__ import annotations

import re

from airflow_k8s_bigdata.errors import SpecError

TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
"""What Jinja replaces when the task runs."""

# A colon in front of the first slash that begins no port.
_PASSWORD = re.compile(r"[^/]*?(?::|%3[Aa])(?!\d*/)")


def has_password(address: str) -> bool:
    """Whether there is a password before the host. A connection's name alone is none: `s3://connection@bucket/`."""
    # The secret keys of S3 hold slashes, so a slash does not end them.
    before, at, _ = TEMPLATE.sub("x", address).partition("://")[2].rpartition("@")
    return bool(at and _PASSWORD.match(before))


def refuse_credentials(address: object, field: str) -> None:
    """Raise SpecError for an address with a password in it: it would be stored with the DAG and shown with the task.

    :param address: may hold templates, and may be anything else, which is left to others.
    :param field: where the author wrote it.
    """
    if isinstance(address, str) and has_password(address):
        raise SpecError(field, "holds credentials: name an Airflow connection, as in s3://connection@bucket/")
