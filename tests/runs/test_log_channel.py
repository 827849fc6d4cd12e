"""A trigger's last lines reach the supervisor before its event does."""

from __future__ import annotations

import asyncio
import socket

from airflow_k8s_bigdata.triggers import logchannel


async def test_it_waits_until_the_other_side_has_read_everything() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"last words")
        waiting = asyncio.create_task(logchannel.drained())
        await asyncio.sleep(0.15)
        assert not waiting.done()
        theirs.recv(100)
        assert await waiting


async def test_it_gives_up_when_nobody_reads() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"last words")
        assert not await logchannel.drained(within=0.1)
