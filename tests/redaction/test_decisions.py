"""The decisions about secrets, one by one: where each begins and ends, and what is left alone."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import pytest

from airflow_k8s_bigdata.objects import privatekeys, redaction, secretshapes
from airflow_k8s_bigdata.objects.redaction import (
    HIDDEN,
    Concealer,
    LogConcealer,
    redact,
    secret_values,
    secrets_in,
    telling_words,
    values_of,
)
from tests.redaction.outlets import record

BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
BEGIN, END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
KEY = f"{BEGIN}\n{BODY}\n{BODY[:20]}==\n{END}"

# Private keys

KEYS = {
    "to its last line": (f"a\n{KEY}\nb", f"a\n{HIDDEN}\nb"),
    "two": (f"{KEY}\nthen\n{KEY}", f"{HIDDEN}\nthen\n{HIDDEN}"),
    "cut within": (f"a {BEGIN}\n{BODY}\n", f"a {HIDDEN}\n"),
    "cut within its last line": (f"{BEGIN}\n{BODY}\n-----END PRIV", f"{HIDDEN} PRIV"),
    "none, but its first line": (f"{BEGIN}\nis not a key\n", f"{BEGIN}\nis not a key\n"),
    "a certificate": (KEY.replace("PRIVATE KEY", "CERTIFICATE"), KEY.replace("PRIVATE KEY", "CERTIFICATE")),
}


@pytest.mark.parametrize("case", KEYS)
def test_a_private_key_is_hidden_and_nothing_else(case: str) -> None:
    text, shown = KEYS[case]
    assert redact(text) == shown


WITHIN = {
    "whole": (KEY, False),
    "whole, and text": (f"{KEY}\nmore", False),
    "its first line": (BEGIN, True),
    "cut behind a line": (f"{BEGIN}\n{BODY}\n", True),
    "cut, and text": (f"{BEGIN}\n{BODY}\nno key any more: {BODY}", False),
    "a second one cut": (f"{KEY}\n{BEGIN}\n{BODY}", True),
    "a certificate cut": (f"-----BEGIN CERTIFICATE-----\n{BODY}", False),
    "nothing": ("a line", False),
}


@pytest.mark.parametrize("case", WITHIN)
def test_a_key_that_is_cut_may_go_on(case: str) -> None:
    text, goes_on = WITHIN[case]
    assert privatekeys.ends_within(text.encode()) is goes_on


def test_a_key_over_several_records_is_hidden_to_its_end_and_no_further() -> None:
    log = LogConcealer(Concealer())
    texts = ["before", f"{BEGIN}\n{BODY}", BODY, f"{BODY[:20]}==\n{END}", BODY, "behind"]
    shown = [one.text for one in log.records(map(record, texts))]
    assert shown == ["before", HIDDEN, HIDDEN, HIDDEN, BODY, "behind"]


def test_a_key_ends_where_its_lines_do() -> None:
    log = LogConcealer(Concealer())
    assert [one.text for one in log.records(map(record, [BEGIN, "no key at all", BODY]))][1:] == ["no key at all", BODY]


def test_a_record_with_nothing_to_hide_is_the_same_one() -> None:
    log = LogConcealer(Concealer(["hunter2-secret"]))
    plain = record("nothing")
    assert log.record(plain) is plain


def test_a_note_about_a_log_is_the_same_one_unless_it_holds_a_secret() -> None:
    log = LogConcealer(Concealer(["q9w8e7"]))
    note, telling = (replace(record(text), note=True) for text in ("it was cut", "it was cut at q9w8e7"))
    assert log.record(note) is note
    assert log.record(telling) == replace(telling, text=f"it was cut at {HIDDEN}")


def test_the_first_record_is_not_taken_for_the_rest_of_a_key() -> None:
    assert LogConcealer(Concealer()).record(record(BODY)).text == BODY


# Known values

ODD = 'b/c d"é<\x01=f:g'
FORMS = {
    "as it is": ODD,
    "percent-encoded": "b%2Fc%20d%22%C3%A9%3C%01%3Df%3Ag",
    "percent-encoded but for its slash": "b/c%20d%22%C3%A9%3C%01%3Df%3Ag",
    "of a form": "b%2Fc+d%22%C3%A9%3C%01%3Df%3Ag",
    "in HTML": "b/c d&quot;é&lt;\x01=f:g",
    "in JSON": r"b/c d\"\u00e9<\u0001=f:g",
    "in JSON with letters of all alphabets": r"b/c d\"é<\u0001=f:g",
    "in JSON within JSON": json.dumps(json.dumps(ODD)[1:-1])[1:-1],
    "in Python": r'b/c d"é<\x01=f:g',
    "in Java's properties": 'b/c d"é<\x01\\=f\\:g',
}


@pytest.mark.parametrize("form", FORMS)
def test_a_known_value_is_hidden_from_its_first_character_to_its_last(form: str) -> None:
    assert redact(f"[{FORMS[form]}]", [ODD]) == f"[{HIDDEN}]"


def test_a_known_value_that_is_percent_encoded_is_hidden_where_it_is_plain() -> None:
    assert redact("[q9/w8 e7]", ["q9%2Fw8%20e7"]) == f"[{HIDDEN}]"


@pytest.mark.parametrize("before", range(3))
@pytest.mark.parametrize("behind", range(3))
@pytest.mark.parametrize("size", [8, 9, 10])
def test_of_a_known_value_in_base64_no_character_is_left_that_is_its_alone(size: int, before: int, behind: int) -> None:
    value = "q9w8e7r6t5"[:size]
    coded = base64.b64encode(b"\xff" * before + value.encode() + b"\xff" * behind).decode()
    first, end = -(-8 * before // 6), 8 * (before + size) // 6
    whole = end if (before + size) % 3 or behind else len(coded)
    assert redact(f"[{coded}]", [value]) == f"[{coded[:first]}{HIDDEN}{coded[whole:]}]"


def test_the_base64_of_six_characters_is_hidden_and_for_urls_too() -> None:
    assert redact(f"[{base64.b64encode(b'q9w8e7').decode()}]", ["q9w8e7"]) == f"[{HIDDEN}]"
    value = "~~~???>>>"
    assert redact(f"[{base64.urlsafe_b64encode(value.encode()).decode()}]", [value]) == f"[{HIDDEN}]"


def test_a_value_of_four_characters_is_hidden_and_none_of_three() -> None:
    assert redact("[q9w8] [q9w]", ["q9w8", "q9w"]) == f"[{HIDDEN}] [q9w]"
    assert redact("[q9w8] [q9]", [" q9w8 ", " q9 ", "  q9  "]) == f"[{HIDDEN}] [q9]"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_each_long_line_of_a_known_value_is_hidden_on_its_own(end: str) -> None:
    value = end.join(["-----SOME HEADER-----", "q9w8e7r6t5y4u3i2", "q9w8e7r6t5y4u3i", "0o9i8u7y6t5r4e3w2q1"])
    text = "[-----SOME HEADER-----] [q9w8e7r6t5y4u3i] [q9w8e7r6t5y4u3i2] [0o9i8u7y6t5r4e3w2q1]"
    assert redact(text, [value]) == f"[-----SOME HEADER-----] [q9w8e7r6t5y4u3i] [{HIDDEN}] [{HIDDEN}]"


@pytest.mark.parametrize("much", [0, 20_000])
def test_of_two_known_values_the_longer_is_hidden_whole(much: int) -> None:
    concealer = Concealer(["q9w8e7", "q9w8e7r6t5y4", "e7r6t5y4u3i2", "3q9w8e"])
    assert concealer.text("." * much + "[q9w8e7r6t5y4] [q9w8e7]")[much:] == f"[{HIDDEN}] [{HIDDEN}]"
    assert concealer.text("q9w8e7r6t5y4u3i2]") == f"{HIDDEN}]"
    assert concealer.text("q9w8e7q9w8e7") == 2 * HIDDEN
    assert concealer.text("[3q9w8e7]") == f"[{HIDDEN}]"


def test_an_automaton_is_made_once_and_only_where_much_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    real = redaction.secretpatterns.any_of
    monkeypatch.setattr(redaction.secretpatterns, "any_of", lambda forms: made.append(forms) or real(forms))
    concealer = Concealer(["q9w8e7"])
    for size, count in ((8192, 0), (8192, 0), (1, 1), (1, 1)):
        concealer.data(b"." * size)
        assert len(made) == count


# What is known

LONG_TOKEN = "Zq7-correct-horse"


def test_the_secrets_of_a_pod_are_those_of_its_environment_and_its_command_lines() -> None:
    first = {"name": "a", "env": [{"name": "DB_PASSWORD", "value": "q9w8e7r6"}, {"name": "DB_PASSWORD"}]}
    second = {"name": "b", "command": ["run", "--api-token", "c3v4b5n6m7"], "args": ["--db-password=x1c2v3b4n5"]}
    pod = {"spec": {"initContainers": [first], "containers": [second, {"name": "c", "env": None}]}}
    assert secret_values(pod) == {"q9w8e7r6", "c3v4b5n6m7", "x1c2v3b4n5"}
    assert secret_values({}) == secret_values({"spec": {}}) == set()


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("DB_PASSWORD", "q9w8e7r6", {"q9w8e7r6"}),
        ("DB_PASSWORD", "true", set()),
        ("DB_USER", "q9w8e7r6", set()),
        ("DB_URL", "postgresql://me:q9w8e7r6@db/x", {"q9w8e7r6"}),
    ],
)
def test_of_a_named_value_is_known_what_can_be_secret(name: str, value: str, known: set[str]) -> None:
    assert values_of(name, value) == known


TELLING = {
    "a flag of secrets and its word": (["run", "--api-token", LONG_TOKEN, "--rows", "5"], ["--api-token", LONG_TOKEN]),
    "a word that tells by itself": (["run", f"pw={LONG_TOKEN}", "x"], [f"pw={LONG_TOKEN}"]),
    "a short one": (["pw=Zq7xk29w"], ["pw=Zq7xk29w"]),
    "a token": (["AKIA" + "A" * 16], ["AKIA" + "A" * 16]),
    "a token of sixteen characters": (["xoxb-12345678901"], ["xoxb-12345678901"]),
    "nothing": (["run", "--rows", "5"], []),
}


@pytest.mark.parametrize("case", TELLING)
def test_the_telling_words_of_a_command_line_have_all_its_secrets(case: str) -> None:
    words, kept = TELLING[case]
    assert telling_words(words) == kept
    assert secrets_in(words) == secrets_in(kept)
    assert bool(secrets_in(words)) is bool(kept)


# Places

MADE = "aB3" * 57
"""Longer than what is judged of a value."""

PLACES = {
    "one that begins within another and ends behind it": (f"password={MADE}://u:aa,bb@h c", f"password={HIDDEN} c"),
    "one within another": (f"password={MADE}/AKIA{'A' * 16}/x, c", f"password={HIDDEN}, c"),
    "two side by side": (f"{KEY}AKIA{'A' * 16} c", f"{HIDDEN}{HIDDEN} c"),
    "the first byte and the last": (f"AKIA{'A' * 16}", HIDDEN),
    "the line behind a long one": (
        f"pw=q9w8e7r6 {'x y ' * 100}\npw=q9w8e7r6",
        f"pw={HIDDEN} {'x y ' * 100}\npw={HIDDEN}",
    ),
    "a list, but not by a comma alone": (
        "a,password,q9w8e7r6 (password,q9w8e7r6)",
        f"a,password,q9w8e7r6 (password,{HIDDEN})",
    ),
    "a key only if it is long": (f"key=q9w8e7r6 key={'aB3dE6gH' * 3}", f"key=q9w8e7r6 key={HIDDEN}"),
    "quoted, behind a flag": ('-p "q9w8 e7r6" x', f'-p "{HIDDEN}" x'),
    "bare, behind a flag": ("-p q9w8e7r6 x", f"-p {HIDDEN} x"),
    "long, behind a flag": (f"-p {MADE} x", f"-p {HIDDEN} x"),
    "of SQL, though but a word": ("identified by customer ok", f"identified by {HIDDEN} ok"),
    "whole, though a backslash ends it": ('-p "q9w8e7\\\\" x', f'-p "{HIDDEN}" x'),
    "in quotes that are escaped": (r'"mysql -p \"q9w8 e7r6\" orders"', rf'"mysql -p \"{HIDDEN}\" orders"'),
    "a user's, in quotes that are escaped": (r"'-u \'me:q9w8e7r6\' x'", rf"'-u \'me:{HIDDEN}\' x'"),
    "in JSON within JSON": (r'"[\"-p\", \"q9w8e7r6\", \"x\"]"', rf'"[\"-p\", \"{HIDDEN}\", \"x\"]"'),
    "bare, behind a flag in quotes": ('"-p" q9w8e7r6 x "y"', f'"-p" {HIDDEN} x "y"'),
    "behind a backslash": (r"-p \q9w8e7r6 x", rf"-p \{HIDDEN} x"),
    "a scheme's, but not behind a name of none": ("sort_key='key order2'", "sort_key='key order2'"),
    "of a pair": ('{"name": "DB_PASSWORD", "value": "q9w8 e7"}', f'{{"name": "DB_PASSWORD", "value": "{HIDDEN}"}}'),
    "in an element": ("<password>q9w8 e7r6</password>", f"<password>{HIDDEN}</password>"),
    "in a URL that is escaped": (r'"https:\/\/aB3dE6gH9jK2mN5p@host"', rf'"https:\/\/{HIDDEN}@host"'),
    "as Oracle's tools take it": ("sqlplus scott/tiger@db scott/***@db", f"sqlplus scott/{HIDDEN}@db scott/***@db"),
    "none in an element": ("<password>true</password> <password>", "<password>true</password> <password>"),
    "a user's, behind a flag": ("-u me:q9w8e7r6 x", f"-u me:{HIDDEN} x"),
    "two in a list of pairs": ("password=q9w8token=e7r6t5 x", f"password={HIDDEN} x"),
    "many lines": ("a\npassword=q9w8e7r6\n" * 50, f"a\npassword={HIDDEN}\n" * 50),
    "far apart": (f"pw=q9w8e7r6\n{'a b c' * 500}\npw=q9w8e7r6", f"pw={HIDDEN}\n{'a b c' * 500}\npw={HIDDEN}"),
}


@pytest.mark.parametrize("case", PLACES)
def test_each_secret_is_hidden_in_its_place(case: str) -> None:
    text, shown = PLACES[case]
    assert redact(text) == shown


FLAGS = {
    ("--api-token", "q9w8e7r6"): "q9w8e7r6",
    ("api-token", "q9w8e7r6"): "",
    ("--api-token=x", "q9w8e7r6"): "",
    ("--password", "true"): "",
    ("--customer-key", "aB3dE6gH9jK2mN5p"): "",
    ("-p", "q9w8e7r6"): "q9w8e7r6",
    ("-p", "customer"): "",
    ("-pw", "customer"): "customer",
    ("-pin", "12345678"): "12345678",
    ("-a", "q9w8e7r6"): "q9w8e7r6",
    ("-b", "q9w8e7r6"): "",
    ("-u", "me:q9w8e7r6"): "q9w8e7r6",
    ("--user", "me:customer"): "customer",
    ("--proxy-user", "me:q9w8e7r6"): "q9w8e7r6",
    ("user", "me:q9w8e7r6"): "",
    ("-u", "me:12345678"): "",
    ("-u", "me:true"): "",
    ("-u", "me"): "",
    ("--rows", "me:q9w8e7r6"): "",
}


@pytest.mark.parametrize("words", FLAGS, ids=" ".join)
def test_a_flag_tells_whether_the_word_behind_it_is_secret(words: tuple[str, str]) -> None:
    assert secretshapes.behind_flag(*words) == FLAGS[words]


# Between ⟦ and ⟧: what is hidden.
IN_URLS_AND_HEADERS = [
    "https://⟦aB3dE6gH9jK2mN5p⟧@host/x",
    "https://⟦deadbeefdeadbeefdead⟧@host/x",
    "https://customer@host/x",
    "https://deadbeef@host/x",
    "ftp://aB3dE6gH9jK2mN5p@host/x",
    "ftp://me:⟦customer⟧@host/x",
    "https://host/a:q9w8e7r6@c",
    "https://host?a:q9w8e7r6@c",
    "https://[::1]:80/a@c",
    "https://host:8080/a@c",
    "https://me:***@c",
    "https://host/x https://me:⟦q9w8e7r6⟧@c/x ftp://me:⟦customer⟧@c",
    "jdbc:a://b://me:⟦q9w8e7r6⟧@c",
    "://me@c",
    "${scheme}://me:⟦q9w8e7r6⟧@c",
    "http://gw:8080/fetch?url=https://me:⟦q9w8e7r6⟧@c/x",
    "http://gw/fetch?url=https://me:⟦q9w8e7r6⟧@c/x",
    "https://gw/a:1,https://me:⟦q9w8e7r6⟧@c/x",
    "https://[::1]:80/a,https://me:⟦q9w8e7r6⟧@c/x",
    "ftp://me:⟦q⟧@c",
    " me:⟦q9w8e7r6⟧@db x",
    "me:⟦q9w8e7r6⟧@db",
    "a:⟦q9w8e7r6⟧@db",
    " :q9w8e7r6@db",
    "/me:q9w8e7r6@db",
    "from:q9w8e7r6@db principal:q9w8e7r6@db",
    "me:customer@db",
    "me:q9w8e7r6@sha256 me:q9w8e7r6@abc123",
    "x" * 64 + ":⟦q9w8e7r6⟧@db",
    "x" * 65 + ":q9w8e7r6@db",
    "Bearer ⟦q9w8e7r6t5⟧ x",
    "a Bearer ⟦q9w8e7r6t5⟧ x",
    "xBearer q9w8e7r6t5 x",
    "xBearer q9w8e7r6t5 pw=⟦q9w8e7r6⟧",
    "pw=⟦q9w8e7r6⟧ xBearer q9w8e7r6t5 x",
    "bearer ⟦xkQbvzRt+lwmq⟧ x",
    "bearer customer-orders x",
    "bearer /var/log/q9w8e7r6 x",
    "bearer customerOrders_ x",
    "basic ⟦bWU6cTl3OGU3⟧ x",
    "basic ⟦ITRsezpTOM⟧ x",
    "basic fx.dnmzr-j x",
    "basic customer-orders x",
    "the basic customers x",
    "Set-Cookie: ⟦a=q9w8e7r6⟧; Path=/",
    "Cookie: ⟦a=q9w8e7r6; b=c3v4b5⟧",
    '"Cookie": "⟦a=q9w8e7r6; b=it\'s⟧" x',
    "'Cookie: ⟦a=q9w8e7r6⟧' x",
    "x Set-Cookie: ⟦a=b⟧; Path=/",
    "Set-Cookie: ⟦a=b⟧; Cookie: c=d",
    "MyCookie: ⟦a=customer⟧; b=orders",
    " aCookie: ⟦a=customer⟧; b=orders",
    "MyCookie-Cookies: none",
    "Authorization: ⟦q9w8e7r6⟧ x",
    "Authorization: Bearer ⟦q9w8e7r6⟧ x",
    "Authorization: [⟦q9w8e7r6⟧]",
    "Authorization: [Bearer ⟦q9w8⟧]",
    "Authorization: [q9w8]",
    "Authorization: customer x",
    "Authorization: Bearer customer x",
    "Authorization:",
]


@pytest.mark.parametrize("marked", IN_URLS_AND_HEADERS)
def test_in_a_url_and_behind_a_scheme_only_the_secret_is_hidden(marked: str) -> None:
    assert redact(re.sub("[⟦⟧]", "", marked)) == re.sub("⟦.*?⟧", HIDDEN, marked)


def test_an_empty_text_stands_nowhere() -> None:
    assert secretshapes.literal_spans(b"ab", [b"", b"b"]) == [(1, 2)]
