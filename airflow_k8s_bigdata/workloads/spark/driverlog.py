"""Why a Spark driver failed, read from the last lines of its log.

Texts of Spark 3.5 to 4.3 (log4j's default pattern), of Python, of Ivy and of the Kubernetes client in Spark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_k8s_bigdata.workloads.spark.endings import Ending


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
    """A line that tells a category. `{what}` in the summary is the pattern's group of that name."""

    category: str
    pattern: re.Pattern[str]
    summary: str


def _rule(category: str, pattern: str, summary: str = "{what}") -> _Rule:
    return _Rule(category, re.compile(pattern), summary)


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

_PATH = r"[^\s'\"]"
START_RULES = (
    _rule(
        "image-architecture-mismatch",
        r"^(?P<what>.*\b[Ee]xec format error.*)",
        "the image, or a program in it, is made for another architecture than the node's: {what}",
    ),
    # The image's own entry point takes Spark's word for a file.
    _rule(
        "image-command-missing",
        r"(?P<what>(?:can't open file|[Cc]annot open file|Cannot find module) '[^']*/driver'.*)",
        "the image's entry point is not Spark's: {what}",
    ),
    _rule(
        "main-file-missing",
        r"can't open file '(?P<what>[^']+)': \[Errno (?:13|1)\]",
        "{what} may not be read by the image's user",
    ),
    _rule("main-file-missing", r"can't open file '(?P<what>[^']+)': \[Errno \d+\]", "{what} does not exist"),
    _rule("main-file-missing", r"can't find '__main__' module in '(?P<what>[^']+)'", "{what} is no Python program"),
    _rule(
        "main-file-missing",
        r"^Fatal error: cannot open file '(?P<what>[^']+)': Permission denied",
        "{what} may not be read by the image's user",
    ),
    _rule("main-file-missing", r"^Fatal error: cannot open file '(?P<what>[^']+)'", "{what} does not exist"),
    _rule(
        "main-file-missing",
        r"^Error: (?:Unable to access jarfile|Invalid or corrupt jarfile) (?P<what>\S+)",
        "{what} can't be read",
    ),
    _rule(
        "heap-too-small",
        r"(?P<what>^Too small (?:maximum|initial) heap|(?:System|Executor) memory \d+ must be at least \d+)",
        "the heap is smaller than Spark can start with: {what}",
    ),
    _rule(
        "java-options-invalid",
        r"^(?:Error: )?(?P<what>Unrecognized (?:VM )?option:? .*|Improperly specified VM option.*"
        r"|VM option '[^']+' is .*"
        r"|Invalid (?:maximum |initial |thread |young )?[\w ]*(?:heap|stack|size)[\w ]*: .*|Conflicting collector .*"
        r"|Multiple garbage collectors selected|(?:Missing|Unexpected) \+/- setting (?:for|in) VM option.*"
        r"|Initial heap size set to a larger value.*|Could not reserve enough space for .*|The flag -?\S+ (?:was|is) .*"
        r"|Error opening zip file or JAR manifest missing.*|Could not find agent library.*|Invalid -X\S+.*"
        r"|Too large \w+ heap.*)",
        "the JVM does not start: {what}",
    ),
    _rule(
        "java-options-invalid",
        r"^(?:Error: )?(?P<what>Could not create the Java Virtual Machine|agent library failed to init.*"
        r"|Error occurred during initialization of (?:VM|boot layer))",
        "the JVM does not start: {what}",
    ),
    _rule(
        "image-command-missing",
        r"(?P<what>(?:^|[:\s])exec:? .*(?:not found|[Nn]o such file|[Pp]ermission denied|required file not found).*)",
    ),
    _rule(
        "image-command-missing",
        r"^(?P<what>(?:/\S*/)?(?:env|bash|sh|dash|ash|tini|dumb-init|\S+\.sh|spark-class|spark-submit)\b.*(?:not found"
        r"|[Nn]o such file or directory|[Pp]ermission denied|cannot execute).*)",
    ),
    _rule(
        "image-command-missing",
        r"^(?P<what>JAVA_HOME is not set|Failed to find Spark jars directory.*|Unable to locate a Java Runtime.*)",
    ),
    _rule(
        "class-not-found", r"^Error: Failed to load class (?P<what>[\w.$]+\w)", "class {what} is not on the class path"
    ),
    _rule(
        "class-not-found",
        r"^Error: (?:Could not find or load|Unable to initialize) main class (?P<what>[\w.$/-]+\w)",
        "class {what} is not on the class path",
    ),
    _rule(
        "main-file-missing",
        r"^Error: (?P<what>(?:Failed to get main class in|No main class set in|Cannot load main class from) JAR.*)",
    ),
)
"""What shells, interpreters and launchers say before there is a program: read of plain lines alone."""

LOCAL_JAR = _rule("main-file-missing", r"Local jar (?P<what>\S+) does not exist", "{what} does not exist")
"""A warning that explains why a class was not found."""

_REACHED = (
    r"Unknown[Hh]ost|[Nn]ame or service not known|Name does not resolve|[Tt]imed? ?out\b|Timeout"
    r"|Connection ?(?:[Rr]efused|[Rr]eset)|ConnectException|NoRouteToHost|[Nn]o route to host|unreachable|SSLHandshake"
    r"|Connection was closed|Failed to connect|Max retries exceeded|code=5\d\d|[Tt]oo many requests|Unauthorized"
    r"|Service ?Unavailable|EOFException|\bclosed\b"
)
API_HOST = _rule(
    "api-trouble",
    rf"^(?P<what>.*(?:kubernetes\.default(?:\.svc)?|KUBERNETES_SERVICE_HOST)\b.*(?:{_REACHED}).*|.*(?:{_REACHED}).*"
    r"\bkubernetes\.default(?:\.svc)?\b.*)",
    "the driver can't reach the Kubernetes API: {what}",
)
API_CLIENT = _rule(
    "api-trouble",
    rf"^(?P<what>.*(?:{_REACHED}).*)",
    "the driver can't reach the Kubernetes API: {what}",
)
API_SPEAKS = re.compile(r"External scheduler cannot be instantiated|KubernetesClientException|fabric8")
TERMINATING = _rule(
    "namespace-terminating",
    r"(?P<what>unable to create new content in namespace \S+ because it is being terminated)",
)

FIRST_RULES = (
    _rule(
        "python-version-mismatch",
        r"(?P<what>Python in worker has different version.*?than that in driver[^,]*|\[PYTHON_VERSION_MISMATCH\].*)",
    ),
    _rule(
        "heap-too-small",
        r"(?P<what>(?:System|Executor) memory \d+ must be at least \d+)",
        "the heap is smaller than Spark can start with: {what}",
    ),
    _rule(
        "image-command-missing",
        r'(?P<what>Cannot run program "[^"]+"(?: \(in directory "[^"]*"\))?: (?:error=(?:2|8|13)\b.*|Exec failed.*))',
    ),
    _rule(
        "ivy-folder-not-writable",
        rf"(?P<what>basedir must be absolute: {_PATH}*ivy\S*|(?:FileNotFoundException|AccessDeniedException"
        r"|FileSystemException|NoSuchFileException): \S*(?:\bivy\S*|/cache/resolved-org\.apache\.spark-spark-submit)\S*"
        r"(?: \([^)]*\)|:? ?[Rr]ead-only.*)?|(?:[Cc]ould not create (?:directory|folder)|Failed to create) \S*ivy\S*"
        r"|[Pp]ermission denied:? \S*\.ivy\S*)",
        "Ivy can't write its folder: {what}",
    ),
    _rule(
        "main-file-missing",
        rf"(?:NoSuchFileException): (?P<what>{_PATH}+\.(?:jar|py|R|r|zip|egg|whl))$",
        "{what} does not exist",
    ),
    _rule(
        "main-file-missing",
        rf"AccessDeniedException: (?P<what>/{_PATH}+\.(?:jar|py|R|r|zip|egg|whl))$",
        "{what} may not be read by the image's user",
    ),
    _rule(
        "main-file-missing",
        rf"FileNotFoundException: (?P<what>/{_PATH}+\.(?:jar|py|R|r|egg|whl) "
        r"\((?:Permission denied|No such file or directory)\))",
        "can't be read: {what}",
    ),
    _rule(
        "main-file-missing", r"(?P<what>Failed to get main class in JAR with error.*|Cannot load main class from JAR.*)"
    ),
    _rule(
        "dependency-download-failed",
        r"(?P<what>unresolved dependency: \S+|UNRESOLVED DEPENDENCIES|Server access error at url \S+"
        r"|download failed: \S+)",
    ),
    TERMINATING,
    FORBIDDEN,
    _rule(
        "class-not-found",
        r"(?:ClassNotFoundException|NoClassDefFoundError): (?:Class |Could not initialize class )?(?P<what>[\w.$/]+\w)",
        "class {what} is not on the class path",
    ),
    _rule("class-not-found", r"Failed to find (?:the )?data source: (?P<what>\S+\w)", "no data source {what}"),
    _rule("class-not-found", r'No FileSystem for scheme "?(?P<what>[\w+.-]+)', "no file system for {what}://"),
)
"""Causes that come before any look at the executors: with one of these the application had no chance."""

FETCHES = re.compile(r"\bat org\.apache\.spark\.util\.(?:DependencyUtils|MavenUtils)\b|\bat .*SparkSubmitUtils\$")
"""Frames of what fetches an application's files before it runs."""
FETCH_RULES = (
    _rule(
        "main-file-missing",
        r"(?:FileNotFoundException|NoSuchKey\w*|PathNotFound\w*): "
        rf"(?:No such file or directory:? |File |Item not found: )?'?(?P<what>{_PATH}+)",
        "{what} does not exist",
    ),
    _rule("dependency-download-failed", r"(?P<what>[\w$]+(?:Exception|Error)\b.*)"),
)

HEAP = _rule(
    "driver-jvm-out-of-memory",
    r'^(?:Exception in thread "[^"]*" |Caused by: |: |Exception: |Terminating due to |Aborting due to )?'
    r"(?P<what>java\.lang\.OutOfMemoryError.*)",
)
DISK_FULL = _rule("disk-full", r"(?P<what>No space left on device)")
LAST_RULES = (
    _rule("executor-failures-exceeded", r"(?P<what>Max number of executor failures \(\d+\) reached)"),
    # With a local master the driver runs the tasks.
    _rule("driver-jvm-out-of-memory", r"executor driver\).*?(?P<what>java\.lang\.OutOfMemoryError[^)]*)"),
    _rule(
        "executors-jvm-out-of-memory",
        r"(?:Lost task|ExecutorLostFailure|[Ee]xecutor \d+).*(?P<what>java\.lang\.OutOfMemoryError[^)]*)",
    ),
    _rule("executor-memory-overhead", r"(?P<what>Consider boosting spark\.\S*memoryOverhead)"),
    _rule("executor-memory-overhead", r"(?P<what>exceed(?:ed|ing) (?:physical |virtual )?memory limits.*)"),
    HEAP,
    DISK_FULL,
    QUOTA,
)
PYTHON_RULES = frozenset({DISK_FULL, API_HOST})
"""What counts of an exception that Python raised by itself: anything else its message quotes was caught."""

_BLAMES_EXECUTORS = re.compile(
    r"ExecutorLostFailure|Python worker exited unexpectedly|Max number of executor failures|FetchFailed"
    r"|possible container OOM|exited caused by one of the running tasks|MetadataFetchFailed|[Ee]xecutor lost"
)
_LOCAL_EXECUTOR = re.compile(r"\bExecutor\b.*\bStarting executor ID driver on host\b")
_REQUESTS = re.compile(r"Going to request \d+ executors from Kubernetes|ExecutorPodsAllocator|StatefulSetPodsAllocator")
_CONTAINER_OOM = re.compile(r"possible container OOM|exit(?:ed with exit)? code 137\b")

_PYTHON_ERROR = re.compile(r"(?P<type>[A-Za-z_][\w.]*)(?:: (?P<text>.*)|:?)$")
_JAVA_ERROR = re.compile(r"(?:[A-Za-z_]\w*\.)+[A-Z][\w$]*(?:: .*)?$")


def search(lines: Sequence[str], rules: Sequence[_Rule]) -> Logged | None:
    """The first rule, in the rules' order, that a line fits, with the last such line."""
    for rule in rules:
        for line in reversed(lines):
            if found := rule.pattern.search(line):
                what = found["what"].strip()
                globbed = rule.category == "main-file-missing" and re.search(r"[*?\[{]", what) is not None
                more = "; wildcards are not expanded in local:// paths" if globbed else ""
                return Logged(rule.category, rule.summary.format(what=what) + more, (f"log: {line}",))
    return None


def said(ending: Ending, rules: Sequence[_Rule]) -> Logged | None:
    """The first rule that what ended the process fits."""
    for rule in rules:
        lines = [line for one in ending.chain for line in one.lines if not one.python or rule in PYTHON_RULES]
        if found := search(lines, (rule,)):
            return found
    return None


def started(ending: Ending) -> Logged | None:
    """What kept the program from starting at all, in the words of a shell, an interpreter or a launcher."""
    return search(ending.words, START_RULES)


def unreachable(ending: Ending) -> Logged | None:
    """That the driver did not reach the API server."""
    if found := said(ending, (API_HOST,)):
        return found
    if not any(API_SPEAKS.search(line) for line in ending.lines):
        return None
    return said(ending, (API_CLIENT,))


def fetching(ending: Ending) -> Logged | None:
    """What went wrong as spark-submit fetched the application's files in the driver."""
    if not any(map(FETCHES.search, ending.frames)):
        return None
    return said(ending, FETCH_RULES)


def exception(ending: Ending) -> Logged | None:
    """The exception that ended the application, and the last of its causes."""
    if not ending.error:
        return None
    heads = [one.lines[0] for one in ending.chain if one.lines]
    head, rest = heads[0], heads[1:]
    if head.startswith("py4j.protocol.Py4JJavaError") and rest:
        # It names the call; what went wrong in the JVM stands in the next line.
        return Logged("app-raised", rest[0], (f"log: {head}", f"log: {rest[0]}"))
    causes = [line for line in rest if _JAVA_ERROR.match(line) or _PYTHON_ERROR.match(line)]
    summary = f"{head} (caused by: {causes[-1]})" if causes and causes[-1] != head else head
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


def runs_alone(lines: Sequence[str]) -> bool:
    """Whether Spark runs its tasks in the driver: a local master, set by the application's own code."""
    return any(_LOCAL_EXECUTOR.search(line) for line in lines)


def asks_for_executors(lines: Sequence[str]) -> bool:
    """Whether Spark has said that it asks for executors."""
    return any(_REQUESTS.search(line) for line in lines)
