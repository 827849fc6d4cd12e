"""Quantities and properties files, as nobody would write them."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects import quantities
from airflow_k8s_bigdata.workloads.spark import SparkApplication, properties
from tests.fuzz import fuzz

QUANTITIES = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"[+-]?[0-9.]{0,30}([eE][+-]?[0-9]{0,12})?(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)?", fullmatch=True),
    st.integers(),
    st.floats(),
)
PIECES = (
    *("spark.a", "spark.jars", "spark.kubernetes.driver.podTemplateFile", "b", "=", ":", " ", "\t", "\f", "\n", "\r"),
    *("\0", "\\", "\\u00e9", "\\uD83D", "\\u12", "#", "!", "é"),
)
LINES = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


@fuzz(300)
@given(text=QUANTITIES)
def test_any_quantity_is_a_finite_number_that_can_be_shown_or_refused(text: str | float) -> None:
    try:
        found = quantities.parse(text)
    except ValueError:
        return
    assert found.is_finite()
    assert quantities.show_bytes(found)


@pytest.mark.parametrize(
    "text", ["1e999999999999", "9" * 5000, "1e99999999", True, None, [], "1e", "\uff11", "1\n", ""]
)
def test_what_no_api_would_take_is_no_quantity(text: object) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        quantities.parse(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(("number", "shown"), [(10**45, "Gi"), (Decimal("1e40"), "Gi"), (-(10**40), "Gi")])
def test_numbers_of_any_size_can_be_shown(number: Decimal, shown: str) -> None:
    assert quantities.show_bytes(number).endswith(shown)


@fuzz(200)
@given(content=st.one_of(st.binary(max_size=60), LINES.map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_any_properties_file_is_read_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder: Path = tmp_path_factory.getbasetemp()
    (folder / "any.conf").write_bytes(content)
    words = ["--conf", "spark.kubernetes.container.image=x:4.0.5", "--properties-file", "any.conf", "local:///a.py"]
    with contextlib.suppress(SpecError):
        SparkApplication.from_spark_submit(words, spark_version=None, cwd=str(folder)).manifests()


@fuzz(200)
@given(values=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4))
def test_what_is_written_is_read_again(values: dict[str, str]) -> None:
    assert properties.load(properties.dump(values)) == values
