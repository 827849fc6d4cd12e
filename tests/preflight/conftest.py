"""A localkube of its own, in which a test may grant and refuse what it likes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.localkube.api_support import LocalKube, running_localkube

RBAC = "/apis/rbac.authorization.k8s.io/v1"
_NUMBERS = itertools.count()


@dataclass
class Place:
    """A namespace with the service accounts `airflow`, which checks, and `driver`; neither may do anything."""

    kube: LocalKube
    namespace: str
    kubeconfig: Path

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    def make(self, resource: str, name: str, group: str = "", **fields: Any) -> None:
        root = f"/apis/{group}/namespaces/{self.namespace}" if group else self.path
        answer = self.kube.create(f"{root}/{resource}", {"metadata": {"name": name}, **fields})
        assert answer.status_code == 201, answer.text

    def allow(self, account: str, verbs: list[str], resources: list[str], group: str = "") -> None:
        """Give an account verbs on resources of its namespace."""
        name = f"r{next(_NUMBERS)}"
        rule = {"apiGroups": [group], "resources": resources, "verbs": verbs}
        self.kube.create(f"{RBAC}/namespaces/{self.namespace}/roles", {"metadata": {"name": name}, "rules": [rule]})
        subject = {"kind": "ServiceAccount", "name": account, "namespace": self.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        self.kube.create(
            f"{RBAC}/namespaces/{self.namespace}/rolebindings",
            {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]},
        )

    def as_account(self, account: str) -> Path:
        """A kubeconfig of that account."""
        config = yaml.safe_load(self.kube.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": self.kube.account_token(self.namespace, account)}
        path = self.kubeconfig.with_name(f"{self.namespace}-{account}")
        path.write_text(yaml.safe_dump(config))
        return path


@pytest.fixture(scope="module")
def localkube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    with running_localkube(tmp_path_factory.mktemp("preflight") / "kube", "--cpus", "4", "--memory", "8Gi") as running:
        yield running


@pytest.fixture
def place(localkube: LocalKube) -> Place:
    name = f"etl-{next(_NUMBERS)}"
    localkube.create("/api/v1/namespaces", {"metadata": {"name": name}})
    made = Place(localkube, name, localkube.kubeconfig)
    for account in ("airflow", "driver"):
        made.make("serviceaccounts", account)
    return made
