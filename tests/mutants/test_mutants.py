"""The mutants are those of lines that decide, and a loaded module really changes."""

from __future__ import annotations

import os
import signal
import textwrap

import pytest

from airflow_k8s_bigdata.objects import quantities
from airflow_k8s_bigdata.runs import killing
from tests.mutants import applying, plugin
from tests.mutants.making import mutants

SOURCE = '''
"""A docstring with 3 numbers."""
PAUSE = 5
LARGEST = 128 << 20
TABLE = {"a", "b"}

class Limits:
    pods: int = 77

def decide(pod, sink, limit=2):
    """Whether 7 == 7."""
    sink.note(20, f"{pod} has {limit} left")
    if pod.ready and limit > 1:
        raise ValueError
    pause(random.uniform(0.8, 1.2) * limit)
    return not pod.gone

async def clear(api, pod):
    await api.delete("Pod", pod.name, uid=pod.uid)
'''


def changes(source: str) -> set[tuple[str, str]]:
    return {(each.before, each.after) for each in mutants("x.py", textwrap.dedent(source))}


def test_every_line_that_decides_has_mutants() -> None:
    assert {
        ("{'a', 'b'}", "{'a'}"),
        ("pod.ready and limit > 1", "pod.ready or limit > 1"),
        ("limit > 1", "limit >= 1"),
        ("raise ValueError", ""),
        ("not pod.gone", "pod.gone"),
        ("await api.delete('Pod', pod.name, uid=pod.uid)", ""),
        ("api.delete('Pod', pod.name, uid=pod.uid)", "api.delete('Pod', pod.name)"),
    } <= changes(SOURCE)


@pytest.mark.parametrize("text", ["PAUSE", "128", "sink.note", "docstring", "7", "77"])
def test_words_for_people_and_chosen_numbers_have_none(text: str) -> None:
    assert not [before for before, _ in changes(SOURCE) if text in before]


def test_the_bounds_of_chance_have_none() -> None:
    assert not {"0.8", "1.2"} & {before for before, _ in changes(SOURCE)}


def test_a_class_has_those_of_its_methods_alone() -> None:
    source = """
        class Patience(Struct, kw_only=True):
            retry: tuple[float, float] = (0.2, 15.0)

            def longest(self):
                return self.retry[1]
    """
    assert changes(source) == {("1", "2")}


@pytest.fixture
def restored() -> object:
    code, states = killing.wish.__code__, dict(killing._BY_STATE)
    yield
    killing.wish.__code__, killing._BY_STATE = code, states


def test_a_loaded_function_takes_a_mutants_code(restored: object) -> None:
    source = "def wish(state):\n    return 5\n"
    (mutant,) = mutants("runs/killing.py", source)
    applying.apply(mutant)
    assert killing.wish("failed") == 6


def test_a_table_is_made_anew_for_those_who_imported_it(restored: object) -> None:
    source = "_BY_STATE = {'failed': not 0 > 1}\n"
    mutant = next(each for each in mutants("runs/killing.py", source) if each.before.startswith("not"))
    applying.apply(mutant)
    assert killing._BY_STATE == {"failed": False}


def test_a_module_is_named_by_its_path() -> None:
    assert applying.name_of("objects/quantities.py") == quantities.__name__


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_mutant_that_hangs_ends_though_nobody_waits_for_it() -> None:
    def hangs() -> bytes:
        while True:
            pass

    pid, reader = plugin._forked(hangs, seconds=0.01)
    os.close(reader)
    assert os.waitpid(pid, 0)[1] == signal.SIGPROF
