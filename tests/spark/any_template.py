"""Pod templates as nobody would write them: fields of the API's schema, with right values and odd ones."""

from __future__ import annotations

from hypothesis import strategies as st

from airflow_k8s_bigdata.workloads.spark import podtypes

TEXTS = (
    "a",
    "x-1",
    "'a b'",
    "true",
    "on",
    "yes",
    "~",
    "0123",
    "1.10",
    "0.50",
    "1e3",
    ".5",
    "2024-01-15",
    "12:30",
    "''",
)
INTEGERS = ("1", "80", "'3'", "0", "-1", "010", "+1", "' 3 '", "!!int '4'", "", "null")
ODD_INTEGERS = (
    "1.0",
    "2.7",
    "1e3",
    "'x'",
    "true",
    "99999999999",
    "0x1F",
    "1_000",
    "'1.5'",
    ".nan",
    ".inf",
    "''",
    "0o17",
)
BOOLEANS = ("true", "false", "'true'", "True", "FALSE", "1", "0", "", "yes", "' true '", "''", "1.0", "on")
QUANTITIES = ("1", "500m", "1.50", "2Gi", "1e3", "'0.5'", "0123", "fast", "''", "1 Gi")
PORTS = ("80", "http", "'8080'", "1.5", "true", "", "-1")
ODD = (
    *("[]", "{}", "[a]", "{a: b}", "[[a]]", "null", "", "!!str 3", "!!float 3", "!!null x", "!custom x", "[null]"),
    *("12345678901234567890", ".inf", "5.", "-0", "0x1F", "1_000", '"é"', "'null'", "&x 1", "*x", "{a: 1, a: 2}"),
)
KEYS = ("a", "app", "b/c", "1.10", "true", "0123", "'1'", "1", "~", "''", "<<")
SCALARS = {
    "any": TEXTS,
    "boolean": BOOLEANS,
    "integer": INTEGERS * 4 + ODD_INTEGERS,
    "long": INTEGERS * 4 + ODD_INTEGERS,
    "mode": (*INTEGERS * 2, *ODD_INTEGERS, "0644", "'0644'", "0o644", "420", "0888"),
    "port": PORTS,
    "quantity": QUANTITIES,
    "text": TEXTS,
}
# What the API server writes, and what Spark's reader completes of its own.
LEFT_OUT = {"managedFields", "ownerReferences", "ephemeral"}
DEEPEST = 7


@st.composite
def _value(draw: st.DrawFn, kind: str, depth: int) -> str:
    if draw(st.integers(0, 39)) == 0:
        return draw(st.sampled_from(ODD))
    if kind[0] == "[":
        items = draw(st.lists(_value(kind[1:-1], depth + 1), max_size=2))
        return f"[{', '.join(item or 'null' for item in items)}]"
    if kind[0] == "{":
        keys = draw(st.lists(st.sampled_from(KEYS[:2] * 10 + KEYS), max_size=2, unique=True))
        return _mapping([(key, draw(_value(kind[1:-1], depth + 1))) for key in keys])
    if kind in SCALARS:
        return draw(st.sampled_from(SCALARS[kind]))
    known = podtypes.schema()[kind]
    if depth > DEEPEST:
        return "{}"
    names = [name for name in known.fields if name not in LEFT_OUT]
    chosen = draw(st.lists(st.sampled_from(names), max_size=3, unique=True)) if names else []
    required = known.required if draw(st.integers(0, 19)) else ()
    fields = dict.fromkeys([*required, *chosen])
    if draw(st.integers(0, 59)) == 0:
        fields["unknown"] = None
    return _mapping([(name, draw(_value(known.fields.get(name, "any"), depth + 1))) for name in fields])


def _mapping(items: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in items) + "}"


@st.composite
def any_template(draw: st.DrawFn) -> str:
    """A template's text."""
    spec, metadata = draw(_value("PodSpec", 1)), draw(_value("ObjectMeta", 1))
    head, tail = draw(
        st.sampled_from([("", ""), ("", ""), ("---\n", "---\n"), ("kind: Pod\n", "...\n"), ("", "---\na")])
    )
    return f"{head}metadata: {metadata}\nspec: {spec}\n{tail}"
