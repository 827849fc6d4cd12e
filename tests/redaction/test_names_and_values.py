"""How much a name says about its value, and which values can be secret: case by case."""

from __future__ import annotations

import pytest

from airflow_k8s_bigdata.objects.secretnames import (
    Strength,
    can_be_known,
    can_be_secret,
    is_place,
    is_word,
    secret_name,
    strength,
)

NONE, KEY, WEAK, STRONG, PASSWORD = Strength
STRENGTHS = {
    NONE: [
        *("", "_", "rows", "id", "session_id", "secret_user_id", "key_id", "customer_key_id", "user_id"),
        *("sort_key", "sort_keys", "image_pull_secrets", "max_tokens", "password_file", "secret_name", "token_ttl"),
        *("next_token", "unexpected_token", "image_pull_secret_of_us"),
    ],
    KEY: ["key", "keys", "customer_key", "keys_of_maps"],
    WEAK: ["token", "tokens", "secret", "bearer", "jwt", "auth", "my_auth", "db_credentials", "sig", "key_cookie"],
    STRONG: [
        *("api_token", "client_secret", "x_bearer", "x_jwt", "apikey", "api_key", "ssh_keys", "signing_key_auth"),
        *("aws_access_key_id", "secret_id", "accessToken", "api_key_value"),
    ],
    PASSWORD: ["password", "db_password", "dbpass", "pin", "api_key_password"],
}


@pytest.mark.parametrize("known", STRENGTHS, ids=lambda known: known.name)
def test_a_name_says_so_much(known: Strength) -> None:
    assert {name: strength(name) for name in STRENGTHS[known]} == dict.fromkeys(STRENGTHS[known], known)


@pytest.mark.parametrize("known", Strength, ids=lambda known: known.name)
def test_the_word_key_alone_makes_no_secret_name(known: Strength) -> None:
    assert {secret_name(name) for name in STRENGTHS[known]} == {known in (WEAK, STRONG, PASSWORD)}


CHANCE = "aB3dE6gH9jK2mN5p"
SECRETS: dict[Strength, dict[str, bool]] = {
    NONE: {CHANCE: False, "q9w8e7r6": False},
    KEY: {
        CHANCE: True,
        CHANCE[:15]: False,
        CHANCE.lower(): False,
        CHANCE.upper(): False,
        "aBcDeFgHiJkLmNoP": False,
        "aB3dE6gH 9jK2mN5p": False,
        "aB3dE6.gH9jK2.mN5p": False,
    },
    WEAK: {
        **{"q9w8e7": True, "q9w8e": False, "abc": False, "12345678": False, "customer": False, "v1.2.3": False},
        **{"2026-11-30": False, "conn.password": False, "db:5432": False, "job_1234567": False, "read(q9w8e7": False},
    },
    STRONG: {"q9w8": True, "q9w": False, "12345678": False, "customer": True, "1.5e3": False, "v1.2.3": False},
    PASSWORD: {
        **{"customer": True, "12345678": True, "1234": True, "123": False, "q9w": True, "2026-11-30": False},
        **{
            "": False,
            "true": False,
            "None.": False,
            "/etc/secrets/db": False,
            "self.password": False,
            "a.b": True,
            "map.key": True,
        },
    },
}


@pytest.mark.parametrize("known", SECRETS, ids=lambda known: known.name)
def test_a_value_behind_such_a_name_can_be_secret_or_not(known: Strength) -> None:
    assert {value: can_be_secret(value, known) for value in SECRETS[known]} == SECRETS[known]


@pytest.mark.parametrize("known", [WEAK, STRONG])
def test_in_prose_only_what_is_longer_and_looks_secret_can_be_one(known: Strength) -> None:
    values = {"q9w8e7r6": True, "q9w8e7r": False, "customer": False}
    assert {value: can_be_secret(value, known, told=False) for value in values} == values


def test_a_value_is_known_if_no_other_line_needs_it() -> None:
    values = {
        **{"12345": False, "123456": True, "anxious": False, "anxiouss": True, "ab-cd": False, "ab-cde": True},
        **{"q9w8e": True, "q9w8": True, "q9w": False, "-9-8-": False, "true": False, "  123456  ": True},
    }
    assert {value: can_be_known(value, PASSWORD) for value in values} == values
    assert not can_be_known("q9w8e7r6", NONE)


def test_a_path_and_a_url_are_places() -> None:
    places = {
        **{"/a/b": True, "s3a://bucket/key": True, "file:x": True, "/etc/X9": True, "C:\\a\\b": True, "\\a\\b": True},
        **{"a": False, "ab": False, "q9/W8": False},
    }
    assert {value: is_place(value) for value in places} == places


def test_words_are_not_made_of_random_letters() -> None:
    words = {
        **{"customer": True, "customer_id": True, "readCustomerOrders": True, "aBcDeFgH": True, "q9": False},
        **{"aBcdeFghiJklmNo": True, "aBcdeFghiJklmnop": True, "aBcdeFghiJklmNop": False, "aaBaaBaaBaaaaaaa": True},
    }
    assert {value: is_word(value) for value in words} == words
