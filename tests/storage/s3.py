"""An S3 server as a process of its own, which checks who asks: moto's."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx

from demo.processes import Child, free_port

BUCKET, MISSING_BUCKET, FORBIDDEN_BUCKET = "logs", "missing", "payroll"
REGION = "us-east-1"
SECONDS = 300
PLACES = [f"arn:aws:s3:::{bucket}{objects}" for bucket in (BUCKET, MISSING_BUCKET) for objects in ("", "/*")]
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": PLACES}]}


@dataclass
class S3:
    """A running server. Its user may do anything with `BUCKET` and `MISSING_BUCKET`, which is not there."""

    address: str
    key: str = "nobody"
    secret: str = "nothing"

    def client(self, service: str = "s3") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.address,
            region_name=REGION,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
        )

    def connection(self, *, key: str | None = None, secret: str | None = None) -> str:
        """As AIRFLOW_CONN_... has it."""
        return json.dumps(
            {
                "conn_type": "aws",
                "login": key or self.key,
                "password": secret or self.secret,
                "extra": {"endpoint_url": self.address, "region_name": REGION},
            }
        )

    def buckets(self) -> set[str]:
        """Those that can be seen in the server's own data."""
        state = httpx.get(f"{self.address}/moto-api/data.json", timeout=SECONDS).json()
        return {bucket["name"] for bucket in state["s3"]["FakeBucket"]}

    def names(self, prefix: str = "") -> list[str]:
        """The objects in `BUCKET`."""
        listed = self.client().list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [found["Key"] for found in listed.get("Contents", [])]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[S3]:
    """Run a server on loopback."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    child = Child("s3", command, env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "inf"}, log=folder / "s3.log")
    try:
        found = S3(f"http://127.0.0.1:{port}")
        _until_it_answers(found, child)
        for bucket in (BUCKET, FORBIDDEN_BUCKET):
            found.client().create_bucket(Bucket=bucket)
        iam = found.client("iam")
        iam.create_user(UserName="airflow")
        iam.put_user_policy(UserName="airflow", PolicyName="logs", PolicyDocument=json.dumps(POLICY))
        made = iam.create_access_key(UserName="airflow")["AccessKey"]
        httpx.post(f"{found.address}/moto-api/reset-auth", content="0", timeout=SECONDS).raise_for_status()
        yield S3(found.address, made["AccessKeyId"], made["SecretAccessKey"])
    finally:
        child.stop(1)


def _until_it_answers(server: S3, child: Child) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and child.running:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{server.address}/moto-api/data.json")
            return
        time.sleep(0.1)
    raise AssertionError(child.last_lines())
