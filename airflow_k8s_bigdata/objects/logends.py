"""Whether a log was read to its end, judged by its last lines as `tailLines` gives them.

The kubelet counts the parts in which a runtime keeps a long line, and stamps the first that it gives. So a tail may
begin within a line, with a stamp that no line bears; its later lines are what they look like.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_k8s_bigdata.objects.loglines import PREFIX, STAMP, Cursor, LineFeed, Piece


def lines_to_ask_for(cursor: Cursor) -> int:
    """How many last lines show whether more came: those of the cursor's stamp, and one."""
    return _read(cursor) + 1


def read_to_end(cursor: Cursor, tail: bytes, *, cut: bool) -> bool | None:
    """Whether the line that was read last is the log's last one; None when it can't be told.

    :param tail: the log's last lines, stamped; the very last may lack its newline.
    :param cut: whether the log may go on behind these bytes.
    """
    shown, torn = _shown(tail)
    own = [index for index, line in enumerate(shown) if line.stamp == cursor.stamp]
    if not own:
        return False if len(shown) > 1 and shown[-1].stamp > cursor.stamp else None
    last = shown[-1]
    if own[-1] < len(shown) - 1 or len(own) > _read(cursor):
        return False
    if len(own) < _read(cursor):
        return None
    if cursor.part and (last.finished or last.size > cursor.part):
        return False
    if cut or torn:
        return None
    return True if last.finished or last.size == cursor.part else None


def _read(cursor: Cursor) -> int:
    """How many lines of its stamp were read, whole or in part."""
    return cursor.lines + 1 if cursor.part else cursor.lines


@dataclass(frozen=True, slots=True)
class _Shown:
    stamp: str
    size: int
    finished: bool


def _shown(tail: bytes) -> tuple[list[_Shown], bool]:
    """The lines of a tail, and whether it ends within a stamp."""
    feed = LineFeed(Cursor())
    shown: list[_Shown] = []
    for item in (*feed.feed(tail), *feed.end()):
        if isinstance(item, Piece):
            if item.offset:
                shown.pop()
            shown.append(_Shown(item.stamp.decode(), item.offset + len(item.text), item.finished))
        else:
            shown += [_Shown(line[:STAMP].decode(), len(line) - PREFIX, True) for line in item]
    return shown, not feed.found
