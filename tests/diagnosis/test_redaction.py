"""No secret reaches a summary, its evidence, its advice or a message."""

from __future__ import annotations

import string
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_pods import driver, ended, verdict_of, waiting

from airflow_k8s_bigdata.objects.diagnosis import summary_lines
from airflow_k8s_bigdata.objects.redaction import HIDDEN, redact, secret_name, secrets_in

# A prefix that stands in no other text, so that a find is a leak.
SECRETS = st.text(string.ascii_letters + string.digits + "_-+/", min_size=6, max_size=40).map(lambda text: f"Zq7{text}")
SHOWN_BY = [
    "spark.hadoop.fs.s3a.secret.key={}",
    "spark.hadoop.fs.s3a.access.key = {}",
    "fs.azure.account.key.acct.dfs.core.windows.net={}",
    "DB_PASSWORD={}",
    "PGPASSWORD='{}' psql",
    "dbPassword: {}, user: me",
    '{{"apiKey": "{}", "a": 1}}',
    "AWS_SESSION_TOKEN={}",
    "submit --db-password {} --rows 5",
    "submit --token={}",
    "jdbc:postgresql://db:5432/x?user=me&password={}&ssl=true",
    "java.sql.SQLException: cannot connect to postgresql://me:{}@db:5432/x",
    "https://me:{}@example.org/repo",
    "https://bucket.example/a?X-Amz-Credential={}&X-Amz-Signature={}",
    "https://acct.blob.example/c?sv=1&sig={}",
    "Authorization: Bearer {}",
    "curl -H 'Authorization: Basic {}'",
]


@given(secret=SECRETS, template=st.sampled_from(SHOWN_BY), words=st.text(string.ascii_letters + " :=\"'-", max_size=30))
def test_a_secret_is_hidden_whatever_stands_before_it(secret: str, template: str, words: str) -> None:
    assert secret not in redact(f"{words} {template.format(secret, secret)}")


@given(text=st.text(max_size=200), secret=SECRETS)
def test_a_known_secret_is_hidden_anywhere(text: str, secret: str) -> None:
    assert secret not in redact(f"{text}{secret}{text}", [secret])


@given(text=st.text(max_size=200))
def test_hiding_twice_changes_nothing_more(text: str) -> None:
    assert redact(redact(text)) == redact(text)


LONG = ["a" * 200_000, "a." * 100_000, 'x="' * 30_000, "://" + "x" * 200_000, "eyJ" * 50_000, "token" * 40_000]


@pytest.mark.parametrize("text", LONG, ids=lambda text: text[:6])
def test_a_long_line_is_read_in_no_time(text: str) -> None:
    started = process_time()
    redact(text)
    assert process_time() - started < 2


HARMLESS = [
    "KeyError: 'customer_id'",
    'secret "db" not found',
    "couldn't find key password in Secret spark/db",
    "exceeded quota: q, requested: cpu=1, used: cpu=2, limited: cpu=2",
    'User "system:serviceaccount:spark:default" cannot create resource "pods"',
    "java.io.IOException: https://repo.example/a.jar returned 404",
    "0/2 nodes are available: 1 node(s) had untolerated taint {dedicated: spark}.",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert redact(text) == text


SHAPES = ["AKIA" + "A" * 16, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "ghp_" + "a" * 36]


@pytest.mark.parametrize("secret", SHAPES)
def test_well_known_shapes_are_hidden_without_a_name(secret: str) -> None:
    assert redact(f"failed with {secret} today") == f"failed with {HIDDEN} today"


@pytest.mark.parametrize("name", ["DB_PASSWORD", "accessKey", "api-key", "spark.x.token", "PGPASSWORD", "sas"])
def test_names_of_secrets_are_known(name: str) -> None:
    assert secret_name(name)


@pytest.mark.parametrize("name", ["SPARK_USER", "MONKEY", "PATH", "keyboard", "tokenizer", "KeyError"])
def test_names_of_other_things_are_left_alone(name: str) -> None:
    assert not secret_name(name)


def _with_secret(secret: str, name: str) -> tuple[str, ...]:
    env = [{"name": name, "value": secret}]
    pod = driver(ended(1, message=f"gave up on {secret}"))
    pod["spec"]["containers"][0]["env"] = env
    log = ["Traceback (most recent call last):", f"ValueError: login with {secret} failed at jdbc:x://u:{secret}@h/d"]
    verdict = verdict_of(pod, log=log)
    assert verdict.diagnosis is not None
    return (verdict.message, *summary_lines(verdict.diagnosis))


@given(secret=SECRETS, name=st.sampled_from(["DB_PASSWORD", "API_TOKEN", "AWS_SECRET_ACCESS_KEY"]))
def test_a_secret_of_the_pod_s_environment_is_in_no_line_of_a_diagnosis(secret: str, name: str) -> None:
    assert not any(secret in line for line in _with_secret(secret, name))


@given(secret=SECRETS)
def test_a_secret_of_the_pods_environment_is_in_no_line_about_a_driver_that_waits(secret: str) -> None:
    pod = driver(waiting("CreateContainerError", f"no such program {secret} in it"))
    pod["spec"]["containers"][0]["env"] = [{"name": "DB_PASSWORD", "value": secret}]
    verdict = verdict_of(pod, seconds=1)
    assert verdict.diagnosis is not None
    assert "no such program ***" in verdict.message
    assert not any(secret in line for line in (verdict.message, *summary_lines(verdict.diagnosis)))


WORDS = [
    ["--api-token", "{}"],
    ["--rows", "5", "-password", "{}"],
    ["--db-password={}"],
    ["jdbc:postgresql://db:5432/x?user=me&password={}"],
    ["https://me:{}@example.org/repo"],
]


@pytest.mark.parametrize("words", WORDS)
def test_the_secrets_of_a_command_line_are_known(words: list[str]) -> None:
    assert secrets_in(word.format("Zq7-correct-horse") for word in words) == {"Zq7-correct-horse"}


def test_a_flag_that_is_none_of_secrets_hides_nothing() -> None:
    assert secrets_in(["--rows", "50000", "--date", "2026-11-23", "https://example.org:8443/repo"]) == set()
