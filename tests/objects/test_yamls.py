"""YAML that strangers wrote: what it says, and what is refused."""

from __future__ import annotations

import time

import pytest

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects import yamls


def bomb(levels: int, width: int = 9) -> str:
    """Few bytes of aliases that stand for width to the power of levels values."""
    lines = [f"a0: &a0 [{', '.join('x' * width)}]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]" for level in range(1, levels)]
    return "\n".join(lines)


def test_every_document_is_read_and_an_empty_one_is_none() -> None:
    assert yamls.load_all("---\na: 1\n---\nb: [x, 'y']\n---\n", "f") == [{"a": 1}, {"b": ["x", "y"]}, None]


def test_a_key_written_twice_is_refused_by_path_and_line() -> None:
    with pytest.raises(SpecError, match=r"^template: spec\.containers\[1\]\.env is written twice, line 3"):
        yamls.load_all("spec:\n  containers: [{}, {env: 1,\n env: 2}]", "template")


@pytest.mark.parametrize("text", ["1: a\n'1': b", "true: a\n'true': b", "a.b: {}\n'a.b': {}", "? a\n: 1\n? a\n: 2"])
def test_keys_that_become_one_text_are_one_key(text: str) -> None:
    with pytest.raises(SpecError, match="is written twice, line"):
        yamls.load_all(text, "f")


def test_a_merge_key_takes_over_what_the_mapping_does_not_set_itself() -> None:
    [found] = yamls.load_all("a: &a {x: 1, y: 2}\nb: &b {x: 3, z: 4}\nc: {x: 5, <<: [*a, *b]}", "f")
    assert found["c"] == {"x": 5, "y": 2, "z": 4}


def test_aliases_are_what_they_name_in_the_same_document() -> None:
    assert yamls.load_all("a: &a [1]\nb: *a", "f") == [{"a": [1], "b": [1]}]
    with pytest.raises(SpecError, match="names an anchor that is not there"):
        yamls.load_all("a: &a [1]\n---\nb: *a", "f")


@pytest.mark.parametrize(
    "text",
    [
        bomb(12),
        "a: &a [*a]",
        "a: &a {b: {c: *a}}",
        "[" * 100_000,
        "- " * 60 + "x",
        "a: {" * 60,
        f"[{'x,' * yamls.MAX_NODES}]",
        "x" * (yamls.MAX_BYTES + 1),
    ],
    ids=["bomb", "loop", "deep-loop", "brackets", "dashes", "braces", "nodes", "bytes"],
)
def test_what_grows_without_bound_is_refused_at_once(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(SpecError):
        yamls.load_all(text, "f")
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "text",
    ["a: b: c", "a: [", "\x00", "\ud800", b"\xff\xfe\xff", "? [a]\n: b", "a: !x 1", "a: !!int x", "a: !!set {}", "%"],
)
def test_what_is_no_yaml_of_plain_values_is_refused(text: str | bytes) -> None:
    with pytest.raises(SpecError, match=r"^f: "):
        yamls.load_all(text, "f")


def test_scalars_are_those_of_kubectl() -> None:
    text = "[yes, Off, ~, 0123, 0x1F, 1_000, 1.10, 1e3, 2024-01-15, '3', !!str 4, !!float 5, .inf, _1, 12x]"
    assert yamls.load_all(text, "f") == [
        [True, False, None, 83, 31, 1000, 1.1, 1000.0, "2024-01-15", "3", "4", 5.0, ".inf", "_1", "12x"]
    ]
