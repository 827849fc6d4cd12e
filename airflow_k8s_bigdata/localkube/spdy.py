"""SPDY 3.1 frames, as far as kubectl's port-forward speaks it inside of a WebSocket: many streams on one connection.

Flow control is left out: kubectl's library neither sends nor heeds window updates.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

# The words that the protocol fixes for the compression of headers, each after its length in four bytes, and a tail.
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow"
    " authorization cache-control connection content-base content-encoding content-language content-length"
    " content-location content-md5 content-range content-type date etag expect expires from host if-match"
    " if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma"
    " proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade"
    " user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie"
    " keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative"
    " Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500"
    " Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec"
    " 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8"
    "charset=iso-8859-1,utf-,*,enq=0."
)
_DICTIONARY = (
    b"".join(struct.pack("!I", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split()) + _TAIL.encode()
)

_CONTROL = 0x8000
_VERSION = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_FIN = 1
_HEADER = struct.Struct("!HHI")
_LARGEST_CONTROL = 64 * 1024
_LARGEST_HEADERS = 64 * 1024
_LARGEST_DATA = 4 << 20


class BadFrame(Exception):
    """What came is no frame that this protocol has."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream that the client has opened, with its headers."""

    stream: int
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes on a stream; `last` when the client sends no more on it."""

    stream: int
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The client has given a stream up."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    """A question whether the connection lives, to be sent back as it is."""

    frame: bytes


Frame = Opened | Data | Reset | Ping


@dataclass(slots=True)
class Reader:
    """Takes frames out of the bytes of one connection, in whatever pieces they come."""

    _rest: bytearray = field(default_factory=bytearray)
    _headers: zlib._Decompress = field(default_factory=lambda: zlib.decompressobj(zdict=_DICTIONARY))

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole by now; those that concern nobody are left out. Raises BadFrame."""
        self._rest += data
        while len(self._rest) >= _HEADER.size:
            first, kind, flags_and_length = _HEADER.unpack_from(self._rest)
            flags, length = flags_and_length >> 24, flags_and_length & 0xFFFFFF
            if length > (_LARGEST_CONTROL if first & _CONTROL else _LARGEST_DATA):
                raise BadFrame(f"a frame of {length} bytes is too large")
            whole = _HEADER.size + length
            if len(self._rest) < whole:
                return
            frame = bytes(self._rest[:whole])
            del self._rest[:whole]
            if not first & _CONTROL:
                stream = (first << 16 | kind) & 0x7FFFFFFF
                yield Data(stream, frame[_HEADER.size :], bool(flags & _FIN))
            elif first != _CONTROL | _VERSION:
                raise BadFrame(f"version {first & ~_CONTROL} is not spoken here")
            else:
                yield from self._control(kind, flags, frame)

    def _control(self, kind: int, flags: int, frame: bytes) -> Iterator[Frame]:
        payload = frame[_HEADER.size :]
        if len(payload) < {_SYN_STREAM: 10, _RST_STREAM: 8, _PING: 4}.get(kind, 0):
            raise BadFrame("a frame is too short")
        if kind == _PING:
            yield Ping(frame)
        elif kind in (_SYN_STREAM, _RST_STREAM):
            stream = struct.unpack_from("!I", payload)[0] & 0x7FFFFFFF
            if kind == _RST_STREAM:
                yield Reset(stream)
                return
            yield Opened(stream, self._unpacked(payload[10:]))
            if flags & _FIN:
                yield Data(stream, b"", True)

    def _unpacked(self, packed: bytes) -> dict[str, str]:
        try:
            block = self._headers.decompress(packed, _LARGEST_HEADERS)
            if self._headers.unconsumed_tail:
                raise BadFrame(f"headers of more than {_LARGEST_HEADERS} bytes")
            count, at, words = struct.unpack_from("!I", block)[0], 4, []
            for _ in range(2 * count):
                length = struct.unpack_from("!I", block, at)[0]
                words.append(block[at + 4 : at + 4 + length].decode())
                at += 4 + length
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise BadFrame(f"headers that can't be read: {error}") from None
        return {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}


@dataclass(slots=True)
class Writer:
    """Makes the frames of one connection; they must be sent in the order in which they are made."""

    _headers: zlib._Compress = field(default_factory=lambda: zlib.compressobj(zdict=_DICTIONARY))

    def accepted(self, stream: int) -> bytes:
        """The answer to a stream that was opened: SYN_REPLY without headers."""
        block = self._headers.compress(struct.pack("!I", 0)) + self._headers.flush(zlib.Z_SYNC_FLUSH)
        payload = struct.pack("!I", stream) + block
        return _HEADER.pack(_CONTROL | _VERSION, _SYN_REPLY, len(payload)) + payload

    def data(self, stream: int, data: bytes, *, last: bool = False) -> bytes:
        """Bytes on a stream, the last ones or not."""
        return struct.pack("!II", stream, (_FIN if last else 0) << 24 | len(data)) + data

    def reset(self, stream: int) -> bytes:
        """RST_STREAM (INTERNAL_ERROR): nothing more comes on the stream."""
        return _HEADER.pack(_CONTROL | _VERSION, _RST_STREAM, 8) + struct.pack("!II", stream, 6)
