"""Why a Spark driver failed, read from the last lines of its log.

Texts of Spark 3.5 to 4.3 (log4j's default pattern), of Python, of Ivy and of the Kubernetes client in Spark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Logged:
    """What a log says about the end.

    :param category: a word of `diagnosis.CATEGORIES`.
    :param summary: the finding in one line.
    :param evidence: the lines it rests on.
    """

    category: str
    summary: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Rule:
    """A line that tells a category. `{what}` in the summary is the pattern's group of that name.

    :param quiet: whether lines of level INFO and WARN count too.
    """

    category: str
    pattern: re.Pattern[str]
    summary: str
    quiet: bool


def _rule(category: str, pattern: str, summary: str = "{what}", *, quiet: bool = False) -> _Rule:
    return _Rule(category, re.compile(pattern), summary, quiet)


_QUIET = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d (?:TRACE|DEBUG|INFO|WARN) ")
"""Lines of log4j that tell of no failure by themselves."""

FORBIDDEN = _rule(
    "service-account-lacks-verb",
    r'(?P<what>User "[^"]+" cannot (?!delete)\w+ resource "[^"]+"(?: in API group "[^"]*")?'
    r'(?: in the namespace "[^"]*")?)',
)
QUOTA = _rule("quota-exceeded", r"exceeded quota: (?P<what>.+?)(?:\. |$)", "exceeded quota: {what}")
NOT_ACCEPTED = _rule(
    "no-resources-accepted",
    r"(?P<what>Initial job has not accepted any resources)",
    "Spark: {what}",
)

FIRST_RULES = (
    _rule("main-file-missing", r"can't open file '(?P<what>[^']+)': \[Errno 2\]", "{what} does not exist"),
    _rule(
        "main-file-missing",
        r'^Exception in thread "main" java\.nio\.file\.NoSuchFileException: (?P<what>\S+\.(?:jar|py|R))$',
        "{what} does not exist",
    ),
    _rule("main-file-missing", r"Local jar (?P<what>\S+) does not exist", "{what} does not exist", quiet=True),
    _rule(
        "python-version-mismatch",
        r"(?P<what>Python in worker has different version.*?than that in driver[^,]*|\[PYTHON_VERSION_MISMATCH\].*)",
    ),
    _rule(
        "class-not-found", r"Error: Failed to load class (?P<what>[\w.$]+\w)", "class {what} is not on the class path"
    ),
    _rule(
        "dependency-download-failed",
        r"(?P<what>unresolved dependency: \S+|UNRESOLVED DEPENDENCIES|Server access error at url \S+"
        r"|download failed: \S+)",
    ),
    _rule(
        "dependency-download-failed",
        r"at org\.apache\.spark\.util\.(?P<what>DependencyUtils|MavenUtils)\b",
        "in {what}",
    ),
    FORBIDDEN,
    _rule(
        "class-not-found",
        r"(?:ClassNotFoundException|NoClassDefFoundError): (?:Class )?(?P<what>[\w.$/]+\w)",
        "class {what} is not on the class path",
    ),
    _rule("class-not-found", r"Failed to find (?:the )?data source: (?P<what>\S+\w)", "no data source {what}"),
)
"""Causes that come before any look at the executors: with one of these the application had no chance."""

LAST_RULES = (
    _rule("executor-failures-exceeded", r"(?P<what>Max number of executor failures \(\d+\) reached)"),
    _rule(
        "executors-jvm-out-of-memory",
        r"(?:Lost task|ExecutorLostFailure|[Ee]xecutor \d+).*(?P<what>java\.lang\.OutOfMemoryError[^)]*)",
    ),
    _rule("executor-memory-overhead", r"(?P<what>Consider boosting spark\.\S*memoryOverhead)"),
    _rule("executor-memory-overhead", r"(?P<what>exceed(?:ed|ing) (?:physical |virtual )?memory limits.*)"),
    _rule(
        "driver-jvm-out-of-memory",
        r'^(?:Exception in thread "[^"]*" |Caused by: |: |Exception: |Terminating due to )?'
        r"(?P<what>java\.lang\.OutOfMemoryError.*)",
    ),
    _rule("disk-full", r"(?P<what>No space left on device)"),
    QUOTA,
)

_BLAMES_EXECUTORS = re.compile(
    r"ExecutorLostFailure|Python worker exited unexpectedly|Max number of executor failures|FetchFailed"
    r"|possible container OOM|exited caused by one of the running tasks|MetadataFetchFailed|[Ee]xecutor lost"
)
_CONTAINER_OOM = re.compile(r"possible container OOM|exit(?:ed with exit)? code 137\b")

_TRACEBACK = "Traceback (most recent call last):"
_PYTHON_ERROR = re.compile(r"(?P<type>[A-Za-z_][\w.]*)(?:: (?P<text>.*)|:?)$")
_JAVA_ERROR = re.compile(
    r'^(?:Exception in thread "[^"]*" |Caused by: |: )?(?P<type>(?:[a-z_]\w*\.)+[A-Z][\w$]*(?:Exception|Error)[\w$]*)'
    r"(?:: (?P<text>.*))?$"
)


def search(lines: Sequence[str], rules: Sequence[_Rule], *, quiet: bool = False) -> Logged | None:
    """The first rule, in the rules' order, that a line fits, with the last such line.

    :param quiet: look at lines of level INFO and WARN for every rule.
    """
    loud = [line for line in lines if not _QUIET.match(line)]
    for rule in rules:
        for line in reversed(lines if quiet or rule.quiet else loud):
            if found := rule.pattern.search(line):
                return Logged(rule.category, rule.summary.format(what=found["what"].strip()), (f"log: {line}",))
    return None


def exception(lines: Sequence[str]) -> Logged | None:
    """The exception that ended the application: the last Python traceback, else the last Java exception."""
    start = next((at for at in range(len(lines) - 1, -1, -1) if lines[at].startswith(_TRACEBACK)), None)
    if start is not None and (found := _python_error(lines[start + 1 :])):
        return found
    return _java_error(lines)


def _python_error(lines: Sequence[str]) -> Logged | None:
    for at, line in enumerate(lines):
        if line[:1].isspace() or not line:
            continue
        found = _PYTHON_ERROR.match(line)
        if found is None:
            return None
        following = lines[at + 1] if at + 1 < len(lines) else ""
        if following.startswith(": "):
            # Py4JJavaError names the call; what went wrong in the JVM stands in the next line.
            return Logged("app-raised", following.removeprefix(": "), (f"log: {line}", f"log: {following}"))
        return Logged("app-raised", line, (f"log: {line}",))
    return None


def _java_error(lines: Sequence[str]) -> Logged | None:
    found = [line for line in lines if _JAVA_ERROR.match(line)]
    if not found:
        return None
    roots = [line for line in found if not line.startswith("Caused by: ")]
    head = roots[-1] if roots else found[-1]
    causes = [line for line in found[found.index(head) :] if line.startswith("Caused by: ")]
    head_text = re.sub(r'^(?:Exception in thread "[^"]*" |: )', "", head)
    summary = f"{head_text} ({causes[-1][0].lower()}{causes[-1][1:]})" if causes and causes[-1] != head else head_text
    return Logged("app-raised", summary, tuple(f"log: {line}" for line in dict.fromkeys([head, *causes[-1:]])))


def blames_executors(lines: Sequence[str]) -> bool:
    """Whether the log says that executors, not the application's own code, made the run fail."""
    return any(_BLAMES_EXECUTORS.search(line) for line in lines)


def tells_of_container_oom(lines: Sequence[str]) -> str:
    """The line in which Spark reports an executor with the exit code of a kill for memory; "" if there is none."""
    return next((line for line in reversed(lines) if _CONTAINER_OOM.search(line)), "")


def context_stopped(lines: Sequence[str]) -> bool:
    """Whether the last that Spark's context said is that it has stopped."""
    for line in reversed(lines):
        if "SparkContext: Successfully stopped SparkContext" in line:
            return True
        if "SparkContext: Running Spark version" in line or "SparkContext: Starting job" in line:
            return False
    return False
