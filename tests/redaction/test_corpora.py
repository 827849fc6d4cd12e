"""All shapes of secrets are hidden, and ordinary lines stay as they are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_k8s_bigdata.objects import secretshapes
from airflow_k8s_bigdata.objects.redaction import HIDDEN, Concealer, LogConcealer, redact, secret_name, secrets_in
from tests.redaction.corpora import Shape, leaked, ordinary, shapes
from tests.redaction.outlets import record

SHAPES, ORDINARY = shapes(), ordinary()
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "reference" / "secrets.md"
CORPUS = Path(__file__).parents[1] / "logs" / "corpus"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
NASTY = [
    "a",
    "a.",
    'x="',
    "://",
    "eyJ",
    "token",
    "password=",
    'password:"',
    "-----BEGIN PRIVATE KEY-----",
    "<password>",
]
NASTY += [
    "a:b@",
    "://a:b",
    "://a:b@",
    "Bearer ",
    "Authorization: ",
    "Cookie: a=b",
    "\\",
    '\\"',
    "password%3D",
    "-u a:b ",
]
NASTY += ["name=password value=", "key -> ", "(token,", "é", 'password="\\', "sk-", "\n", "\x00", "AKIA", "SG.a."]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.written[:50])
def test_no_secret_of_a_shape_is_left(shape: object) -> None:
    for seed in range(3):
        text, secrets = shape.made(seed)  # type: ignore[attr-defined]
        assert secrets
        assert not [secret for secret in secrets if leaked(secret, redact(text))]


MORE = {
    'jdbc:oracle:thin:scott/"⟦·6@·6⟧"@db:1521:orcl': "jdbc:oracle:thin:scott/***@db:1521:orcl",
    "jdbc:hive2://hs2:10000/default;user=me;password=⟦·12⟧?hive.exec.parallel=true": (
        "jdbc:hive2://hs2:10000/default;user=me;password=***"
    ),
    "https://x-access-token:⟦ghs_·36⟧@github.com/org/repo.git": "https://x-access-token:***",
    "https://acct.blob.core.windows.net/c?sp=r&sig=⟦·b43⟧%3D&se=2026-11-30": (
        "https://acct.blob.core.windows.net/c?sp=r&sig=***&se=2026-11-30"
    ),
    "SharedAccessSignature=sv=2023-01-03&sig=⟦·20%2F·20%3D⟧": "SharedAccessSignature=***&sig=***",
    "https://hooks.slack.com/services/⟦T·u8/B·u8/·24⟧": "https://***",
    "basic.auth.user.info=sr:⟦·16⟧@registry.example": "basic.auth.user.info=***",
    "Authorization: AWS4-HMAC-SHA256 Credential=⟦AKIA·u16/20261130/eu-central-1/s3/aws4_request⟧,"
    " SignedHeaders=host;x-amz-date, Signature=⟦·x64⟧": (
        "Authorization: *** Credential=***, SignedHeaders=host;x-amz-date, Signature=***"
    ),
    "Authorization: SharedKey acct:⟦·b43=⟧": "Authorization: SharedKey ***",
    'DEBUG wire: >> "Authorization: Bearer ⟦·40⟧[\\r][\\n]"': 'DEBUG wire: >> "Authorization: Bearer ***][\\n]"',
    "password\\u003d⟦·12⟧\\u0026user\\u003dme": "password\\u003d***",
    "⟦-----BEGIN ENCRYPTED PRIVATE KEY-----⏎·b64⏎·b64⏎⟧": "***\n",
}
"""Shapes of which more is hidden than the secret, and what is left."""


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.written[:50])
def test_what_stands_around_a_secret_stays_as_it_is(shape: Shape) -> None:
    text, _ = shape.made()
    assert redact(text) == MORE.get(shape.written, shape.without_secrets())


@pytest.mark.parametrize("line", ORDINARY, ids=lambda line: line[:50])
def test_an_ordinary_line_stays_as_it_is(line: str) -> None:
    assert redact(line) == line


def test_the_corpora_are_large() -> None:
    assert len({shape.written for shape in SHAPES}) >= 200
    assert len(set(ORDINARY)) >= 250


def test_all_ordinary_lines_together_stay_as_they_are() -> None:
    assert redact("\n".join(ORDINARY)) == "\n".join(ORDINARY)


@settings(max_examples=EXAMPLES)
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 10**6), before=st.sampled_from(ORDINARY))
def test_a_shape_is_hidden_among_ordinary_lines_which_stay(shape: object, seed: int, before: str) -> None:
    text, secrets = shape.made(seed)  # type: ignore[attr-defined]
    shown = redact(f"{before}\n{text}\n{before}")
    assert shown.startswith(f"{before}\n")
    assert shown.endswith(f"\n{before}")
    assert not [secret for secret in secrets if leaked(secret, shown)]


PIECES = st.one_of(
    *(st.sampled_from(NASTY), st.text(max_size=12), st.sampled_from([shape.made()[0] for shape in SHAPES])),
    st.sampled_from(ORDINARY),
)


@settings(max_examples=EXAMPLES)
@given(st.lists(PIECES, max_size=8).map("".join))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert isinstance(redact(text, ["hunter22-hunter22"]), str)
    assert isinstance(Concealer().data(text.encode("utf-8", "surrogatepass")), bytes)
    assert isinstance(secrets_in(text.split()), set)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.written[:50])
def test_hiding_twice_changes_nothing_more(shape: object) -> None:
    shown = redact(shape.made()[0])  # type: ignore[attr-defined]
    assert redact(shown) == shown


NASTY += [
    "key=",
    "key->",
    "key=\n",
    "-p ",
    "spark.x.token ",
    "thin:a/",
    "%3a%2f%2f%3a",
    "eyJaaaaaaaaa-",
    "cookie: ",
    "@",
]


@pytest.mark.parametrize("unit", NASTY, ids=repr)
def test_time_grows_with_the_text_alone(unit: str) -> None:
    def seconds(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        started = process_time()
        redact(text)
        return process_time() - started

    seconds(1000)
    taken = seconds(64_000)
    assert taken < 0.5  # 0.05 where there is nothing else to do
    assert taken < 16 * seconds(8_000) + 0.1


def test_lines_without_a_secret_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secretshapes, "_in_lines", lambda data: pytest.fail(f"looked at {data!r}"))
    for log in CORPUS.glob("*.log"):
        assert secretshapes.spans(log.read_bytes()) == []


def test_known_values_are_found_by_an_automaton_where_much_is_read() -> None:
    values = [f"correct-horse-{number}" for number in range(5)]
    concealer, text = Concealer(values), f"{'x' * 5000} {values[2]} and {values[4]}\n"
    assert {concealer.text(text) for _ in range(5)} == {f"{'x' * 5000} {HIDDEN} and {HIDDEN}\n"}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.written[:50])
def test_the_first_search_passes_by_nothing(shape: object) -> None:
    text = shape.made()[0].replace("\n", " ").encode()  # type: ignore[attr-defined]
    assert secretshapes.spans(text) == secretshapes.spans(text, everywhere=True)


@pytest.mark.parametrize(
    "form", ["p/w+1&2=3 x", "p%2Fw%2B1%262%3D3%20x", "p%2Fw%2B1%262%3D3+x", "cC93KzEmMj0zIH", "AvdysxJjI9MyB4"]
)
def test_a_known_secret_is_hidden_in_other_encodings(form: str) -> None:
    assert form not in redact(f"seen: {form} there", ["p/w+1&2=3 x"])


def test_a_known_secret_is_hidden_when_json_escapes_it() -> None:
    assert redact(r"got abc\"def\\1 there", ['abc"def\\1']) == f"got {HIDDEN} there"


@pytest.mark.parametrize(
    "name",
    [
        *("spark.security.credentials.hive.enabled", "fs.s3a.aws.credentials.provider", "ssl.keystore.type"),
        *("oauthTokenFile", "credential.provider.path", "max_tokens", "secretBitLength", "primary_key", "author"),
    ],
)
def test_a_name_that_ends_in_what_is_no_secret_is_none(name: str) -> None:
    assert not secret_name(name)


@pytest.mark.parametrize(
    "name", ["DB_PASS", "REDIS_AUTH", "CREDS", "GITHUB_PAT", "COOKIE", "API_BEARER", "CARD_PIN", "clientSecret", "sig"]
)
def test_short_names_of_secrets_are_known(name: str) -> None:
    assert secret_name(name)


@pytest.mark.parametrize("value", ["false", "4096", "org.apache.spark.Foo", "/etc/secrets/pw", "spark"])
def test_a_value_that_other_lines_need_is_not_known_as_a_secret(value: str) -> None:
    assert secrets_in([f"--token={value}", "--password", value]) == set()


def test_a_private_key_is_hidden_over_several_records_and_positions_stay() -> None:
    key = [f"{number}{'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC' * 2}" for number in range(4)]
    lines = ["-----BEGIN PRIVATE KEY-----", *key, "-----END PRIVATE KEY-----", "next line"]
    concealer = LogConcealer(Concealer())
    records = [record("\n".join(lines[at : at + 2])) for at in range(0, len(lines), 2)]
    shown = [concealer.record(one) for one in records]
    assert not [line for line in key if line in "\n".join(one.text for one in shown)]
    assert shown[-1].text.endswith("next line")
    assert [(one.cursor, one.lines) for one in shown] == [(one.cursor, one.lines) for one in records]


def test_a_record_without_secrets_is_the_same_one() -> None:
    one = record("26/11/30 02:00:01 INFO SparkContext: Running \udce9")
    assert LogConcealer(Concealer(["hunter22-hunter22"])).record(one) is one


def figures() -> str:
    """The table of the documentation."""
    kinds = list(dict.fromkeys(shape.kind for shape in SHAPES))
    rows = ["| shapes | of so many | hidden |", "| --- | --- | --- |"]
    for kind in kinds:
        made = [shape.made() for shape in SHAPES if shape.kind == kind]
        hidden = sum(not any(leaked(secret, redact(text)) for secret in secrets) for text, secrets in made)
        rows.append(f"| {kind} | {len(made)} | {hidden} |")
    changed = sum(redact(line) != line for line in ORDINARY)
    return "\n".join([*rows, f"| ordinary lines | {len(ORDINARY)} | {changed} |"])


def test_the_documentation_has_the_figures() -> None:
    assert figures() in re.sub(r"\r", "", DOCUMENTATION.read_text(encoding="utf-8"))
