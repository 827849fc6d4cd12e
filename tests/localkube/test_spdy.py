"""SPDY frames, in whatever pieces they come."""

from __future__ import annotations

import contextlib
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.localkube import spdy
from airflow_k8s_bigdata.localkube.spdy import BadFrame, Data, Opened, Ping, Reader, Reset, Writer


class Client:
    """What a client sends: its headers share one compression."""

    def __init__(self) -> None:
        self._packing = zlib.compressobj(zdict=spdy._DICTIONARY)

    def opens(self, stream: int, headers: dict[str, str], flags: int = 0) -> bytes:
        block = struct.pack("!I", len(headers))
        for word in (word for pair in headers.items() for word in pair):
            block += struct.pack("!I", len(word)) + word.encode()
        packed = self._packing.compress(block) + self._packing.flush(zlib.Z_SYNC_FLUSH)
        return control(1, struct.pack("!IIH", stream, 0, 0) + packed, flags)


def control(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack("!HHI", 0x8003, kind, flags << 24 | len(payload)) + payload


def read(data: bytes, size: int = 1 << 20) -> list[Any]:
    reader = Reader()
    return [frame for at in range(0, len(data), size) for frame in reader.feed(data[at : at + size])]


def test_the_protocol_s_words_are_those_of_its_specification() -> None:
    assert (len(spdy._DICTIONARY), zlib.adler32(spdy._DICTIONARY)) == (1423, 0xE3C6A7C2)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_frames_are_read_in_any_pieces(size: int) -> None:
    client = Client()
    headers = {"Streamtype": "data", "port": "80", "requestid": "0"}
    sent = [
        client.opens(1, headers),
        client.opens(3, headers, flags=1),
        Writer().data(1, b"hello"),
        Writer().data(1, b"", last=True),
        control(6, struct.pack("!I", 7)),
        control(3, struct.pack("!II", 3, 5)),
        control(4, b"\0\0\0\0"),
    ]
    lower = {"streamtype": "data", "port": "80", "requestid": "0"}
    assert read(b"".join(sent), size) == [
        Opened(1, lower),
        Opened(3, lower),
        Data(3, b"", True),
        Data(1, b"hello", False),
        Data(1, b"", True),
        Ping(sent[4]),
        Reset(3),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02\x00\x01\x00\x00\x00\x00",
        control(1, b"\0\0\0\1"),
        control(3, b""),
        control(1, struct.pack("!IIH", 1, 0, 0) + b"no zlib"),
        struct.pack("!HHI", 0x8003, 1, 0xFFFFFF),
        struct.pack("!II", 1, 0xFFFFFF),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        read(data)


def test_headers_that_unpack_to_very_much_are_refused() -> None:
    with pytest.raises(BadFrame):
        read(Client().opens(1, {"a": "x" * 1_000_000}))


@given(st.binary(max_size=100))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadFrame):
        read(data)


def test_an_accepted_stream_is_answered_without_headers() -> None:
    writer = Writer()
    frames = [writer.accepted(1), writer.accepted(3)]
    unpacking = zlib.decompressobj(zdict=spdy._DICTIONARY)
    for stream, frame in zip((1, 3), frames, strict=True):
        assert frame[:4] == b"\x80\x03\x00\x02"
        assert int.from_bytes(frame[8:12]) == stream
        assert unpacking.decompress(frame[12:]) == b"\0\0\0\0"
