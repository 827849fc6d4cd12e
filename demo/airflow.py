"""Airflow's real processes on loopback with SQLite, and a client of its REST API."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import tenacity

from demo.processes import Child, free_port, wait_until

COMPONENTS = {
    "api-server": ("api-server", "--host", "127.0.0.1"),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
"""Log servers are left out: they would listen on every address, and all components share one disk here."""

PATIENT = {
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
    "AIRFLOW__CORE__TASK_SUCCESS_OVERTIME": "120",
    "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "320",
    "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "600",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
}
"""Waits that a machine with few cores would reach while many processes start, and nobody has to wait for."""


INHERITED = ("AIRFLOW_VAR_", "AIRFLOW_CONN_")
"""Variables and connections that the caller's environment may hold for DAGs; other settings of another Airflow don't
belong here."""


def is_inherited(name: str) -> bool:
    """Whether a variable of the caller's environment reaches this Airflow."""
    return not name.startswith("AIRFLOW") or name.startswith(INHERITED)


class Airflow:
    """An Airflow installation in a folder of its own: configured, migrated, started, asked, stopped.

    It has the Variables and connections of the caller's environment, but for its own `kubernetes_default`.

    :param kubeconfig: what the connection `kubernetes_default` points to.
    :param extra_env: added to the environment of every process.
    :param database: for SQLAlchemy; None: SQLite in the folder, enough for one triggerer and few workers at once.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dags: Path,
        kubeconfig: Path,
        namespace: str,
        extra_env: dict[str, str] | None = None,
        port: int | None = None,
        database: str | None = None,
    ) -> None:
        self.folder = folder
        self._database = database
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.user, self.password = "admin", secrets.token_urlsafe(9)
        folder.mkdir(parents=True, exist_ok=True)
        passwords = folder / "passwords.json"
        passwords.write_text(json.dumps({self.user: self.password}))
        passwords.chmod(0o600)
        connection = {
            "conn_type": "kubernetes",
            "extra": {"kube_config_path": str(kubeconfig), "namespace": namespace},
        }
        self.env = {
            **{name: value for name, value in os.environ.items() if is_inherited(name)},
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(connection),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__FERNET_KEY": "",
            **PATIENT,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.user}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            **self._connections(60),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **(extra_env or {}),
        }
        self.children: dict[str, Child] = {}
        self._client: httpx.Client | None = None
        self._logging_in = threading.Lock()

    def run(self, *arguments: str, timeout: float = 600) -> str:
        """Run an `airflow` command to its end. Raises RuntimeError with its last words."""
        command = [sys.executable, "-m", "airflow", *arguments]
        done = subprocess.run(
            command,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    def start(self, *components: str) -> None:
        """Start the components (none named: all) and wait until the API answers."""
        for name in components or COMPONENTS:
            self.launch(name)
        wait_until("Airflow's API", self._answers, seconds=600, children=list(self.children.values()))

    @contextlib.contextmanager
    def running(self, *components: str) -> Iterator[Self]:
        """Its database made and the components (none named: all) up; behind it, all that was started has ended."""
        try:
            self.run("db", "migrate")
            self.start(*components)
            yield self
        finally:
            self.stop()

    def launch(self, component: str, name: str = "") -> Child:
        """Start a component, or another one of its kind by a name of its own, and do not wait for it."""
        name = name or component
        if former := self.children.pop(name, None):
            former.stop()
        # Two requests of one API server can wait for each other's lock on SQLite until one is refused, and sent again.
        # The others wait longer than that, as a scheduler ends when it is refused.
        env = self._connections(5) if component == "api-server" else {}
        command = [sys.executable, "-m", "airflow", *COMPONENTS[component]]
        self.children[name] = Child(name, command, env=self.env | env, log=self.folder / f"{name}.log")
        return self.children[name]

    def _connections(self, seconds: int) -> dict[str, str]:
        """The database; with SQLite, how long to wait for others who write to it."""
        if self._database is None:
            return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder}/airflow.db?timeout={seconds}"}
        return {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": self._database,
        }

    def stop(self) -> None:
        """End everything that was started."""
        children = list(reversed(self.children.values()))
        for child in children:
            child.signal(signal.SIGTERM)  # each takes seconds to end; together they take as long as one
        for child in children:
            child.stop()
        if self._client is not None:
            self._client.close()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v2/version", timeout=30).is_success
        except httpx.HTTPError:
            return False

    # REST

    @property
    def client(self) -> httpx.Client:
        """A client that is logged in; one for all threads."""
        with self._logging_in:
            if self._client is None:
                answer = httpx.post(
                    f"{self.url}/auth/token", json={"username": self.user, "password": self.password}, timeout=120
                )
                answer.raise_for_status()
                token = answer.json()["access_token"]
                self._client = httpx.Client(
                    base_url=f"{self.url}/api/v2", headers={"Authorization": f"Bearer {token}"}, timeout=120
                )
        return self._client

    def get(self, path: str, **params: Any) -> Any:
        """GET below /api/v2, decoded."""
        return self.ask("GET", path, params=params).json()

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Unpause a DAG, start a run, and return the run's id. Waits until the DAG has been parsed."""
        children = list(self.children.values())
        wait_until(f"the parsing of DAG {dag_id}", lambda: self._unpause(dag_id), seconds=600, children=children)
        run_id = f"manual__{secrets.token_hex(8)}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf or {}}
        try:
            self.ask("POST", f"/dags/{dag_id}/dagRuns", body)
        except httpx.HTTPStatusError as error:
            # It was there already when the request was sent again.
            if error.response.status_code != httpx.codes.CONFLICT:
                raise
        return run_id

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """A request below /api/v2, sent again while SQLite is locked. Raises httpx.HTTPError."""

        def passes(error: BaseException) -> bool:
            if isinstance(error, httpx.HTTPStatusError):
                return error.response.status_code == httpx.codes.INTERNAL_SERVER_ERROR
            return method == "GET" and isinstance(error, httpx.TransportError)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(passes),
            stop=tenacity.stop_after_attempt(20),
            wait=tenacity.wait_fixed(0.5),
            reraise=True,
        )
        return retrying(lambda: self.client.request(method, path, json=body, params=params).raise_for_status())

    def _unpause(self, dag_id: str) -> bool:
        return self.client.patch(f"/dags/{dag_id}", json={"is_paused": False}).is_success

    def run_state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """The run's task instances by task id."""
        listed = self.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {ti["task_id"]: ti for ti in listed}

    def wait(self, dag_id: str, run_id: str, *, seconds: float) -> str:
        """Wait for the run's end and return its state."""
        end = time.monotonic() + seconds
        while (state := self.run_state(dag_id, run_id)) not in ("success", "failed"):
            if time.monotonic() > end:
                raise RuntimeError(f"{dag_id} {run_id} is still {state} after {seconds:.0f} s")
            time.sleep(1)
        return state

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """The task's return value."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.get(path, deserialize=True)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> list[dict[str, Any]]:
        """The task's log as the UI shows it: records with event, level, logger, timestamp."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        # The whole log so far is in one answer. The token in it asks for what comes later, and while the task runs
        # Airflow 3.1 answers that with the whole log again.
        content = self.get(path, full_content=True)["content"]
        return [record for record in content if isinstance(record, dict)]

    def log_text(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """The messages of the task's log, one after the other."""
        records = self.log(dag_id, run_id, task_id, try_number)
        return "\n".join(str(record.get("event", "")) for record in records)


def new_records(folder: Path, positions: dict[Path, int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What was added to the task logs on disk since the last call, as (task id, record)."""
    for path in sorted(folder.rglob("attempt=*.log*")):
        with path.open("rb") as file:
            file.seek(positions.get(path, 0))
            data = file.read()
        complete = data[: data.rfind(b"\n") + 1]
        positions[path] = positions.get(path, 0) + len(complete)
        task_id = next((part.partition("=")[2] for part in path.parts if part.startswith("task_id=")), path.stem)
        for line in complete.splitlines():
            try:
                yield task_id, json.loads(line)
            except ValueError:
                continue
