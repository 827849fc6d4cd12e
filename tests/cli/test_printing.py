"""What a terminal or a pipe gets."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.cli import printing
from airflow_k8s_bigdata.runs import preflight
from airflow_k8s_bigdata.runs.preflight import Finding, State

OBEYED = {*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")}


@given(st.text())
def test_no_text_holds_a_character_that_is_not_printed(text: str) -> None:
    assert printing.printable(text).isprintable()
    assert all(found.isprintable() or found in "\n\t" for found in printing.printable_lines(text))


def test_an_order_is_shown_and_not_obeyed() -> None:
    assert printing.printable("a\x1b[31mb\n[/red]\u202e") == "a\\x1b[31mb\\n[/red]\\u202e"
    assert printing.printable("déjà 日本") == "déjà 日本"


@given(st.lists(st.text() | st.sampled_from(["\x9b", "\x1b[2J", "\r\n", "\r", "é"])), st.data())
def test_a_log_comes_to_a_terminal_without_orders_however_it_is_cut(texts: list[str], data: st.DataObject) -> None:
    whole = "".join(texts).encode("utf-8", "surrogatepass")
    out = io.BytesIO()
    terminal = printing.Harmless(out)
    at = 0
    while at < len(whole):
        size = data.draw(st.integers(1, len(whole)))
        terminal.write(whole[at : at + size])
        at += size
    terminal.close()
    shown = out.getvalue().decode("utf-8", "surrogatepass")
    assert not {ord(character) for character in shown.replace("\r\n", "\n")} & OBEYED


def test_a_logs_text_and_its_bytes_that_are_no_text_stay() -> None:
    out = io.BytesIO()
    terminal = printing.Harmless(out)
    terminal.write(b"caf\xc3\xa9 caf\xe9\tok\r")
    terminal.write(b"\n50%\r100%")
    terminal.close()
    assert out.getvalue() == b"caf\xc3\xa9 caf\xe9\tok\r\n50%\\x0d100%"


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_is_protected(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert isinstance(printing.standard_output(), printing.Harmless) is terminal


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    assert printing.table(("a", "b"), [("x" * 90, "y"), ("\n", "")]) == f"a{' ' * 91}b\n{'x' * 90}  y\n\\n"


def test_a_table_of_findings_is_folded_for_people_and_whole_for_pipes() -> None:
    finding = Finding(State.MISSING, "Secret " + "s" * 300, "not :there: [/red]", "make it")
    folded, whole = preflight.table([finding], width=80), preflight.table([finding], width=None)
    assert max(map(len, folded.splitlines())) <= 80
    assert folded.count("s") >= 300
    assert f"Secret {'s' * 300}  not :there: [/red]  make it" in whole
