"""Where a value stands behind its name, and what binds it: case by case."""

from __future__ import annotations

import pytest

from airflow_k8s_bigdata.objects.secretnames import Strength
from airflow_k8s_bigdata.objects.secretvalues import JUDGED, follows_scheme, judged_value, plain_value, whole

_, KEY, WEAK, STRONG, PASSWORD = Strength

JUDGEMENTS: list[tuple[str, Strength, str, str | None]] = [
    # What follows the name, how much the name says, what binds it, what is secret.
    ("q9w8e7r6 x", WEAK, "=", "q9w8e7r6"),
    ("customer x", WEAK, "=", None),
    ("customer x", STRONG, "=", "customer"),
    ("'q9w8 e7r6' x", STRONG, "=", "q9w8 e7r6"),
    ('"q9w8 e7r6" x', STRONG, ": ", "q9w8 e7r6"),
    ('"customer" x', STRONG, ": ", "customer"),
    ("'''q9w8 e7r6''' x", STRONG, "=", "q9w8 e7r6"),
    ("'''q9w8 e7r6\nx", STRONG, "=", "q9w8 e7r6"),
    ('"q9w8 e7r6', STRONG, "=", "q9w8 e7r6"),
    (r"\"q9w8 e7r6\" x", STRONG, "=", "q9w8 e7r6"),
    ('\\"q9w8 e7r6\nx', STRONG, "=", "q9w8 e7r6"),
    ("&quot;customer it&quot; x", STRONG, ": ", "customer it"),
    ('"""customer it""" x', STRONG, ": ", "customer it"),
    ("{q9w8 e7r6} x", STRONG, "=", "q9w8 e7r6"),
    ("{q9w8 e7r6} x", STRONG, ": ", None),
    ("{Bearer q9w8e7r6} x", STRONG, "=", "q9w8e7r6"),
    ("q9w8e7r6) x", STRONG, ", ", "q9w8e7r6"),
    ("{q9w8e7r6:t5", STRONG, ": ", None),
    ("[q9w8e7r6:t5", STRONG, ": ", None),
    ("{q9w8e7r6:t5", STRONG, "=", "{q9w8e7r6:t5"),
    ("[1, 2] x", STRONG, "=", None),
    ("read('x') x", STRONG, "=", None),
    ("", STRONG, "=", None),
    (", x", STRONG, "=", None),
    ("q9w8e7r6%26x=y", STRONG, "%3d", "q9w8e7r6"),
    ("q9w8e7r6%26x", STRONG, "=", "q9w8e7r6%26x"),
    ("Bearer q9w8e7r6 x", WEAK, ": ", "q9w8e7r6"),
    ("Bearer customer x", WEAK, "=", None),
    ("Bearer q9w8e7r6 x", STRONG, "=", "q9w8e7r6"),
    ("'Bearer q9w8e7r6' x", STRONG, "=", "q9w8e7r6"),
    ("'Bearer customer' x", WEAK, "=", None),
    ("q9w8e7r6) x", STRONG, ",", "q9w8e7r6"),
    ("customer) x", STRONG, ",", None),
    ("q9w8e7r6 x", STRONG, '",', None),
    ('"q9w8e7r6" x', STRONG, '",', "q9w8e7r6"),
    ('"customer" x', STRONG, '",', None),
    ("customer is", STRONG, ": ", None),
    ("customer is", STRONG, "= ", "customer"),
    ("customer is", STRONG, "-> ", "customer"),
    ("customer is", STRONG, ":", "customer"),
    ("customer is not", PASSWORD, ": ", None),
    ("customer", PASSWORD, ": ", "customer"),
    ("customer is not", PASSWORD, "= ", "customer"),
    ("q9w8e7r is", WEAK, ": ", None),
    ("q9w8e7r is", WEAK, "= ", "q9w8e7r"),
    ("q9w8e7r is", STRONG, ": ", None),
]


@pytest.mark.parametrize(("follows", "known", "binds", "secret"), JUDGEMENTS)
def test_behind_a_name_stands_a_secret_or_none(follows: str, known: Strength, binds: str, secret: str | None) -> None:
    place = judged_value(follows.encode(), known, binds.encode())
    assert (follows[slice(*place)] if place else None) == secret


PLAIN: list[tuple[str, Strength, str, str | None]] = [
    ("q9w8e7r6 x", WEAK, " ", "q9w8e7r6"),
    ("q9w8e7 x", WEAK, " ", None),
    ("q9w8e7 x", WEAK, "=", "q9w8e7"),
    ("'q9w8e7' x", WEAK, " ", "q9w8e7"),
    ("customer x", STRONG, " ", None),
    ("'customer' x", STRONG, " ", "customer"),
    ("customer x", STRONG, "=", "customer"),
    ("true x", STRONG, "=", None),
    ("", STRONG, "=", None),
]


@pytest.mark.parametrize(("follows", "known", "binds", "secret"), PLAIN)
def test_a_text_begins_with_a_secret_or_not(follows: str, known: Strength, binds: str, secret: str | None) -> None:
    place = plain_value(follows.encode(), known, binds.encode())
    assert (follows[slice(*place)] if place else None) == secret


def test_what_follows_a_scheme_is_secret_unless_it_is_hidden_short_or_a_word() -> None:
    values = {"q9w8": True, "q9w": False, "customer": False, "****": False, "": False}
    assert {value: follows_scheme(value) for value in values} == values


def test_a_long_secret_is_hidden_to_its_end() -> None:
    data = b"x" * 300 + b" y"
    assert whole(data, (0, JUDGED)) == (0, 300)
    assert whole(data, (0, JUDGED - 1)) == (0, JUDGED - 1)
