"""Commands of a shell, as nobody would write them: read as bash reads them, or refused."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import SparkApplication, command_line, keys, reading, shell
from tests.fuzz import fuzz

# No name of a program or of a shell's own commands can be spelled with these.
PIECES = (
    *("q", "z9", "A=", "B+=", "q.z=", ":", "/", "//", "://", "-", "--", ".", "..", ",", "@", "%", "^", "!", "é", "\t"),
    *(" ", " ", " ", "\n", "\\", "\\\n", "\\\\", "'", '"', "''", '""', "$", "$'", '$"', "'q z'", '"q z"', "#", " #"),
    *("~", "=~", ":~", "*", "?", "[", "]", "[q]", "{", "}", "{}", "{q,z}", "{1..3}", "{{", "}}", "{%"),
    *("|", "&", ";", "<", ">", "(", ")", "`", "$q", "${q}", "$(q)", "$((1))", "$1", "$?", "$$", "$@", "$["),
    *("\\n", "\\x41", "\\101", "\\u00e9", "\\U0001F600", "\\cq", "\\'", '\\"', "\\e", "\\q", "\\x", "\\0", "\\x00"),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def as_bash_reads(before: str, after: str, folder: Path) -> tuple[list[str], str]:
    """The words and the variable A that a program called spark-submit gets; only what was read here is given to it."""
    program = 'spark-submit() { printf "%s\\0" "${A-unset}" "$@"; }\n'
    done = subprocess.run(
        ["/bin/bash", "--norc", "--noprofile", "-r", "-c", f"{program}{before}spark-submit {after}"],
        env={"PATH": str(folder / "no-programs"), "LC_ALL": "C.UTF-8", "HOME": "/nobody"},
        cwd=folder,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    variable, *words = done.stdout.decode().split("\0")[:-1]
    return words, variable


@fuzz(150)
@given(before=st.sampled_from(["", "", "A=q ", "A='q z' ", "# z\n\n", "A=q A=z ", "A=$'q\\tz' "]), after=TEXTS)
@example(before="", after="q # z\n# q\n")
@example(before="", after="q#z '#' \\#")
@example(before="", after="$'q\\tz' $\"q\" \"\\q\\$\" '\\'")
@example(before="", after="q://z/*.q {q} {} q{z")
def test_a_command_is_read_as_bash_reads_it_or_refused(
    before: str, after: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        words, assigned = command_line.words_of(f"{before}spark-submit {after}")
    except SpecError as refusal:
        note(str(refusal))
        return
    assert (words, assigned.get("A", "unset")) == as_bash_reads(before, after, tmp_path_factory.getbasetemp())


@fuzz(200)
@given(text=st.one_of(st.text(), TEXTS, TEXTS.map("spark-submit {}".format)))
def test_any_text_is_a_command_or_refused(text: str) -> None:
    with contextlib.suppress(SpecError):
        SparkApplication.from_command(text, cwd="/nowhere")


WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from([*command_line.OPTIONS, *command_line.OTHER_OPTIONS, *command_line.SWITCHES]),
    st.sampled_from(
        ["local:///a.py", "file:///absent/*.jar", "k8s://h", "x#y", "a,b", "s3a://b/*", "file:\0*", "[", "\ud800"]
    ),
    st.tuples(st.sampled_from([*reading.FILE_KEYS, keys.JARS, keys.FILES, "spark.a"]), st.text(max_size=5)).map(
        "=".join
    ),
)


@fuzz(200)
@given(words=st.lists(WORDS, max_size=8))
def test_any_words_are_a_submission_or_refused(words: list[str]) -> None:
    with contextlib.suppress(SpecError):
        SparkApplication.from_spark_submit(words, spark_version=None, cwd="/nowhere")


@fuzz(100)
@given(words=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=20), max_size=5))
def test_quoted_words_are_what_they_were(words: list[str]) -> None:
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    assert [word.text for word in shell.words(quoted)] == words
