"""What Kubernetes accepts, and what is made of any text."""

from __future__ import annotations

from decimal import Decimal

import pytest
from airflow.providers.cncf.kubernetes.pod_generator import make_safe_label_value
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from airflow_k8s_bigdata.objects import names, quantities
from airflow_k8s_bigdata.objects.identity import Identity


@given(st.text(max_size=200))
def test_any_text_becomes_a_valid_label_value(text: str) -> None:
    assert names.is_label_value(names.label_value(text))


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:+ -]{0,100}", fullmatch=True))
def test_the_value_is_what_airflows_own_provider_makes_so_that_selectors_match(text: str) -> None:
    assert names.label_value(text) == make_safe_label_value(text)


@given(st.text(max_size=30), st.text(max_size=30))
def test_different_runs_have_different_keys(dag: str, task: str) -> None:
    one, other = Identity("i", dag, "r", task), Identity("i", dag + "x", "r", task)
    assert one.run_key != other.run_key


def test_the_key_depends_on_neither_try_nor_epoch() -> None:
    assert Identity("i", "d", "r", "t", epoch=1).run_key == Identity("i", "d", "r", "t", try_number=9).run_key


def test_parts_that_join_to_the_same_text_have_different_keys() -> None:
    assert Identity("i", "ab", "c", "t").run_key != Identity("i", "a", "bc", "t").run_key


@pytest.mark.parametrize("text", ["1", "500m", "1.5", "2Gi", "1e3", "128974848", "129M", "123Mi", "0.5", "100n", "3E"])
def test_quantities_are_what_the_official_client_reads(text: str) -> None:
    assert quantities.parse(text) == parse_quantity(text)


@pytest.mark.parametrize("text", ["", "lots", "1 Gi", "1GB", "--1", "1gi", "Mi"])
def test_what_the_api_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        quantities.parse(text)


@pytest.mark.parametrize(
    ("size", "shown"), [(1433 * 2**20, "1433Mi"), (2 * 2**30, "2Gi"), (512, "512"), (1536 * 2**20, "1536Mi")]
)
def test_bytes_are_shown_for_people(size: int, shown: str) -> None:
    assert quantities.show_bytes(Decimal(size)) == shown
