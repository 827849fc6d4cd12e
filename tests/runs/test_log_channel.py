"""A trigger's last lines reach the supervisor before its event does."""

from __future__ import annotations

import asyncio
import socket

from airflow_k8s_bigdata.triggers import draining, logchannel


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


async def test_all_who_wait_share_one_look() -> None:
    ours, theirs = socket.socketpair()
    before = len(asyncio.all_tasks())
    with ours, theirs:
        ours.sendall(b"last words")
        waiting = [asyncio.create_task(draining.drained()) for _ in range(20)]
        await asyncio.sleep(0.15)
        assert len(asyncio.all_tasks()) == before + len(waiting) + 1
        assert not any(one.done() for one in waiting)
        theirs.recv(100)
        await asyncio.gather(*waiting)


async def test_who_is_cancelled_while_waiting_leaves_the_others_waiting() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"last words")
        first, second = (asyncio.create_task(draining.drained()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert not second.done()
        theirs.recv(100)
        await second
