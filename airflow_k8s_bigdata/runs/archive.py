"""Logs on their way into an archive: compressed, in parts, so that a crash loses nothing that was written before."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import zstandard

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import redaction
from airflow_k8s_bigdata.objects.archives import INDEX, Index, Log, Part
from airflow_k8s_bigdata.objects.logbatches import Batcher
from airflow_k8s_bigdata.objects.loglines import Cursor, LineFeed

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Sleep
    from airflow_k8s_bigdata.objects.loglines import Batch
    from airflow_k8s_bigdata.workloads.base import LogSource

PART_BYTES = 8 * 1024 * 1024
"""Bytes of a log in one part, about."""
PART_SECONDS = 30.0
"""How long a line waits for others before it is written. The last part is written anew, larger, until it is full."""
LEVEL = 3
LARGEST_WINDOW = 8 << 20
"""Bytes of memory that unpacking may take beside its result; what is written here takes 2 MiB."""


class Store(Protocol):
    """A folder of an object storage. Its methods raise ArchiveFailed."""

    @property
    def address(self) -> str:
        """For messages; without credentials."""

    async def read(self, name: str) -> bytes | None:
        """A file's content; None when there is no such file."""

    async def write(self, name: str, data: bytes) -> None:
        """Write a file, or replace it, at one go."""

    async def remove(self, name: str) -> None:
        """Remove a file that may be gone already."""


class Archive:
    """The logs of one run in a store.

    :param run: what `Index.run` says.
    :param part_bytes: from which size on a part is full.
    """

    def __init__(
        self, store: Store, run: Mapping[str, Any], *, part_bytes: int = PART_BYTES, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.store = store
        self.part_bytes = part_bytes
        self._index = Index(run)
        self._loaded = False
        self._in_use = asyncio.Lock()
        self._sleep = sleep
        self._secrets: tuple[bytes, ...] = ()

    def conceal(self, values: Collection[str]) -> None:
        """Write *** for these values from now on."""
        self._secrets = redaction.longest_first(values)

    def without_secrets(self, data: bytes) -> bytes:
        """What may be written of a log's bytes."""
        return redaction.conceal(data, self._secrets)

    async def log(self, source: LogSource) -> ArchivedLog:
        """The log of a container: what is archived of it, to be gone on with."""
        async with self._in_use:
            if not self._loaded:
                self._index = await read_index(self.store) or self._index
                self._loaded = True
        new = Log(source.pod, source.uid, source.container)
        return ArchivedLog(self, self._index.logs.get(new.key, new), sleep=self._sleep)

    async def note(self, log: Log) -> None:
        """Write down a log's newest state."""
        async with self._in_use:
            await self._write(self._index.with_log(log))

    async def drop(self, log: Log) -> None:
        """Keep nothing of a log."""
        async with self._in_use:
            if log.key in self._index.logs:
                await self._write(self._index.without(log.key))
        for part in log.parts:
            await self.store.remove(part.name)

    async def _write(self, index: Index) -> None:
        await self.store.write(INDEX, json.dumps(index.to_json(), indent=1).encode())
        self._index = index


class ArchivedLog:
    """One container's log on its way into the archive."""

    def __init__(self, archive: Archive, log: Log, *, sleep: Sleep) -> None:
        self.log = log
        self._archive = archive
        self._sleep = sleep
        self._part = _GrowingPart(_name(log))
        self._cursor = log.cursor
        self._lines_waiting = asyncio.Event()
        self._in_order = asyncio.Lock()

    @property
    def cursor(self) -> Cursor | None:
        """Where to go on; None at the log's beginning."""
        return self.log.cursor if self.log.cursor.stamp else None

    @property
    def taken(self) -> Cursor:
        """Up to where it was taken, written or not."""
        return self._cursor

    async def take(self, batch: Batch) -> None:
        """Take lines; what fills a part is written at once."""
        async with self._in_order:
            for record in batch.records:
                self._part.add(self._archive.without_secrets(record.raw()), record.lines)
                if record.gap is not None:
                    self.log = replace(self.log, gaps=(*self.log.gaps, record.gap))
                if not self.log.first and not record.note:
                    self.log = replace(self.log, first=record.stamp)
            self._cursor = batch.cursor
            if self._part.size >= self._archive.part_bytes:
                await self._write()
                self._part = _GrowingPart(_name(self.log))
        self._lines_waiting.set()

    async def write_now_and_then(self) -> None:
        """Write what has come, every `PART_SECONDS`; runs until it is cancelled."""
        while True:
            await self._lines_waiting.wait()
            await self._sleep(PART_SECONDS)
            self._lines_waiting.clear()
            await self.write()

    async def write(self) -> None:
        """Write what has come."""
        async with self._in_order:
            await self._write()

    async def finish(self) -> None:
        """Write the rest: the log was read to its end."""
        async with self._in_order:
            self.log = replace(self.log, complete=True)
            await self._write()

    async def drop(self) -> None:
        """Keep nothing of it."""
        async with self._in_order:
            await self._archive.drop(self.log)

    async def _write(self) -> None:
        if self._part.size:
            part = await asyncio.to_thread(self._part.compressed)
            await self._archive.store.write(self._part.name, part)
            self.log = self.log.with_part(self._part.summary())
        self.log = replace(self.log, cursor=self._cursor)
        await self._archive.note(self.log)


class _GrowingPart:
    """A part that may be written while it grows: frames of zstd, one behind the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self._lines = 0
        self._digest = hashlib.sha256()
        self._frames: list[bytes] = []
        self._waiting: list[bytes] = []

    def add(self, data: bytes, lines: int) -> None:
        if data:
            self._waiting.append(data)
            self._digest.update(data)
        self.size += len(data)
        self._lines += lines

    def compressed(self) -> bytes:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._frames.append(zstandard.ZstdCompressor(level=LEVEL).compress(b"".join(waiting)))
        return b"".join(self._frames)

    def summary(self) -> Part:
        return Part(self.name, self.size, self._lines, self._digest.hexdigest())


def _name(log: Log) -> str:
    """The next part's name. A process that goes on for another begins a part of its own."""
    return f"{log.pod}/{log.container}-{log.uid[:8]}-{len(log.parts):05d}.zst"


# Reading


async def read_index(store: Store) -> Index | None:
    """The archive's index; None when there is no archive. Raises ClusterError for one that can't be read."""
    found = await store.read(INDEX)
    if found is None:
        return None
    try:
        return Index.from_json(json.loads(found))
    except (ValueError, RecursionError) as error:
        raise errors.ArchiveFailed(f"its index can't be read: {error!r}", action=f"read {store.address}") from error


async def content(store: Store, log: Log) -> AsyncIterator[bytes]:
    """An archived log's bytes, part by part. Raises ArchiveFailed for a part that is missing or not as it was."""
    for part in log.parts:
        action = f"read {store.address}/{part.name}"
        compressed = await store.read(part.name)
        if compressed is None:
            raise errors.ArchiveFailed("it is missing", action=action)
        try:
            # Whoever wrote it died before the index, maybe: then it goes on behind what the index knows.
            data = await asyncio.to_thread(_decompressed, compressed, part.size)
        except zstandard.ZstdError as error:
            raise errors.ArchiveFailed(f"it can't be decompressed: {error}", action=action) from error
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise errors.ArchiveFailed("its checksum is not that of the index", action=action)
        yield data


async def batches(store: Store, log: Log) -> AsyncIterator[Batch]:
    """An archived log as a reader of the pod's hands it on, but for its lines' times. Raises as `content`."""
    feed, batcher = LineFeed(Cursor()), Batcher(Cursor())
    rest = b""
    async for data in content(store, log):
        *lines, rest = (rest + data).split(b"\n")
        for batch in batcher.add(feed.feed(b"".join([_NO_TIME + line + b"\n" for line in lines])), 0.0):
            yield batch
    items = feed.feed(_NO_TIME + rest) if rest else []
    for batch in batcher.add([*items, *feed.end()], 0.0) + batcher.flush(0.0, everything=True):
        yield batch


_NO_TIME = b"1970-01-01T00:00:00.000000000Z "


def _decompressed(data: bytes, size: int) -> bytes:
    """At most so many bytes of what was compressed: a few kilobytes can claim to be gigabytes."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
    chunks: list[bytes] = []
    with decompressor.stream_reader(data, read_across_frames=True) as reader:
        while size > 0 and (chunk := reader.read(min(size, 1 << 20))):
            chunks.append(chunk)
            size -= len(chunk)
    return b"".join(chunks)
