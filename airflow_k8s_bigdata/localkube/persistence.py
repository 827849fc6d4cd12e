"""The store's objects in SQLite, so that neither a restart nor `kill -9` loses one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from airflow_k8s_bigdata.localkube.store import Event, Store

_TABLES = """
create table if not exists objects (
    resource text, namespace text, name text, body blob, primary key (resource, namespace, name)
) without rowid;
create table if not exists state (key text primary key, value integer);
"""
_LAST_DELETED = "select max(value) from state where key = 'revision'"
# Bodies are blobs, which newer versions of SQLite would take for a format of their own.
_LAST_WRITTEN = """
select max(cast(json_extract(cast(body as text), '$.metadata.resourceVersion') as integer)) from objects
"""
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode


class Persistence:
    """Writes each event of a store into a file, inside the write: what a client was told is kept.

    It outlives the process, not a power cut: the file is not synced to the disk for every write.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(f"pragma journal_mode = wal; pragma synchronous = off; {_TABLES}")

    def revision(self, first: int) -> int:
        """The version that the saved state has; `first` when nothing was saved."""
        found = [self._database.execute(query).fetchone()[0] for query in (_LAST_DELETED, _LAST_WRITTEN)]
        return max(int(each or first) for each in found)

    def load(self, store: Store) -> None:
        """Put everything saved back into a store, as it was and without events."""
        for resource, body in self._database.execute("select resource, body from objects"):
            store.restore(resource, _decode(body))

    def note(self, event: Event) -> None:
        """Save what an event changed. Give it to the store's `observe`."""
        meta = event.object["metadata"]
        key = (event.resource, meta.get("namespace", ""), meta["name"])
        run = self._database.execute
        if event.type != "DELETED":
            # One statement, one transaction: the object itself tells the version.
            run("insert or replace into objects values (?, ?, ?, ?)", (*key, _encode(event.object)))
            return
        run("begin")
        run("delete from objects where resource = ? and namespace = ? and name = ?", key)
        run("insert or replace into state values ('revision', ?)", (event.revision,))
        run("commit")

    def close(self) -> None:
        """Close the file."""
        self._database.close()
