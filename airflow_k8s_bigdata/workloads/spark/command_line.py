"""spark-submit's command line, as SparkSubmitArguments reads it. Text in, plain values out; no file is opened here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import keys, shell
from airflow_k8s_bigdata.workloads.spark.settings import java_int, refuse

OPTIONS = {
    "--name": keys.APP_NAME,
    "--master": keys.MASTER,
    "--deploy-mode": keys.DEPLOY_MODE,
    "--driver-memory": "spark.driver.memory",
    "--driver-cores": "spark.driver.cores",
    "--driver-class-path": "spark.driver.extraClassPath",
    "--driver-java-options": "spark.driver.extraJavaOptions",
    "--driver-library-path": "spark.driver.extraLibraryPath",
    "--executor-memory": "spark.executor.memory",
    "--executor-cores": "spark.executor.cores",
    "--num-executors": "spark.executor.instances",
    "--jars": keys.JARS,
    "--files": keys.FILES,
    "--archives": keys.ARCHIVES,
    "--py-files": keys.PY_FILES,
    "--packages": "spark.jars.packages",
    "--exclude-packages": "spark.jars.excludes",
    "--repositories": "spark.jars.repositories",
    "--principal": keys.PRINCIPAL,
    "--keytab": keys.KEYTAB,
}
"""Options that stand for a key; each wins over the key in `--conf` and in files."""

OTHER_OPTIONS = ("--class", "--conf", "-c", "--properties-file", "--proxy-user")
WITHOUT_EFFECT = ("--queue", "--total-executor-cores")
"""Options with a value that spark-submit accepts and does not use on Kubernetes."""

SWITCHES = ("--verbose", "-v", "--supervise", "--load-spark-defaults")
REFUSED = {
    "--kill": "ends an application instead of starting one: use `k8s-bigdata kill`",
    "--status": "asks for an application instead of starting one: use `k8s-bigdata list`",
    "--remote": "connects to a Spark Connect server instead of starting a driver",
    "--help": "asks for spark-submit's help",
    "-h": "asks for spark-submit's help",
    "--usage-error": "asks for spark-submit's help",
    "--version": "asks for spark-submit's version",
}

ENVIRONMENT = {
    "MASTER": keys.MASTER,
    "DEPLOY_MODE": keys.DEPLOY_MODE,
    "SPARK_DRIVER_MEMORY": "spark.driver.memory",
    "SPARK_EXECUTOR_MEMORY": "spark.executor.memory",
    "SPARK_EXECUTOR_CORES": "spark.executor.cores",
}
"""Variables that stand in for a key that nothing else sets."""

LEGACY = {keys.KEYTAB: "spark.yarn.keytab", keys.PRINCIPAL: "spark.yarn.principal"}
"""Older keys that spark-submit reads where the newer one is missing."""

_WITH_EQUALS = re.compile(r"(--[^=]+)=(.+)", re.DOTALL)
_PROGRAM = re.compile(r"(?:.*/)?spark-submit(?:\.sh|\.cmd)?", re.DOTALL)
_MAX_HEAP = re.compile(r"(?:^|\s)-Xmx")


@dataclass(slots=True)
class CommandLine:
    """What the words of a command line say.

    :param options: values of options that stand for a key, by key.
    :param conf: values of `--conf`, by key; of a key given twice the last.
    :param main: the first word that is no option; None if there is none.
    :param args: the words after it.
    """

    options: dict[str, str] = field(default_factory=dict)
    conf: dict[str, str] = field(default_factory=dict)
    main: str | None = None
    main_class: str | None = None
    args: tuple[str, ...] = ()
    properties_file: str | None = None
    proxy_user: str | None = None
    total_cores: str | None = None
    load_defaults: bool = False


def parse(argv: Sequence[str]) -> CommandLine:
    """The words after `spark-submit`, taken apart. Raises SpecError for an unknown option or a missing value."""
    _refuse_bad_text(argv)
    line = CommandLine()
    position = 0
    while position < len(argv):
        word, value = argv[position], None
        matched = _WITH_EQUALS.fullmatch(word)
        if matched is not None:
            word, value = matched[1], matched[2]
        position += 1
        if word in REFUSED:
            raise SpecError(word, REFUSED[word])
        if word in OPTIONS or word in OTHER_OPTIONS or word in WITHOUT_EFFECT:
            if value is None:
                if position == len(argv):
                    raise SpecError(word, "needs a value")
                value = argv[position]
                position += 1
            _take(line, word, value)
        elif word in SWITCHES:
            line.load_defaults = line.load_defaults or word == "--load-spark-defaults"
        elif word.startswith("-"):
            raise SpecError(word, "is not an option of spark-submit")
        else:
            line.main, line.args = argv[position - 1], tuple(argv[position:])
            return line
    return line


def _refuse_bad_text(argv: Sequence[str]) -> None:
    """What no program can be given."""
    for number, word in enumerate(argv, start=1):
        try:
            bad = b"\0" in word.encode()
        except UnicodeEncodeError:
            bad = True
        if bad:
            raise SpecError("command", f"must be text without NUL that UTF-8 can write, and word {number} is not")


def _take(line: CommandLine, option: str, value: str) -> None:
    if option in OPTIONS:
        line.options[OPTIONS[option]] = value
    elif option in ("--conf", "-c"):
        key, equals, text = value.partition("=")
        if not equals:
            raise SpecError(option, "must read key=value", key)
        line.conf[key] = text
    elif option == "--class":
        line.main_class = value
    elif option == "--properties-file":
        line.properties_file = value
    elif option == "--total-executor-cores":
        line.total_cores = value
    elif option == "--proxy-user":
        line.proxy_user = value


def merged(line: CommandLine, defaults: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """The configuration: options over `--conf` over files over the environment. Raises SpecError.

    :param defaults: what the properties files say.
    """
    conf = {key: value for key, value in {**defaults, **line.conf}.items() if key.startswith("spark.")}
    conf |= line.options
    for variable, key in ENVIRONMENT.items():
        if key not in conf and variable in env:
            conf[key] = env[variable]
    for key, older in LEGACY.items():
        if key not in conf and older in conf:
            conf[key] = conf[older]
    if line.total_cores is not None and (java_int(line.total_cores) or 0) <= 0:
        raise SpecError("--total-executor-cores", "must be a positive whole number", line.total_cores)
    if line.proxy_user == "":
        raise SpecError("--proxy-user", "must name a user")
    if line.proxy_user is not None and keys.PRINCIPAL in conf:
        raise SpecError("--proxy-user", "only one of --proxy-user or --principal can be provided")
    for key in ("spark.driver.extraJavaOptions", "spark.driver.defaultJavaOptions"):
        if _MAX_HEAP.search(conf.get(key, "")):
            raise refuse(key, "must not set -Xmx: use --driver-memory or spark.driver.memory", conf[key])
    return conf


def words_of(command: str) -> tuple[list[str], dict[str, str]]:
    """The words after `spark-submit` in a shell's command, and the variables assigned before it. Raises SpecError.

    Of a variable assigned twice the last value counts, as in a shell. The program's folder does not matter, so it may
    hold a variable.
    """
    found = shell.words(command)
    assigned: dict[str, str] = {}
    position = 0
    while position < len(found) and found[position].assigns:
        name, _, value = _given(found[position]).partition("=")
        assigned[name] = value
        position += 1
    program = found[position] if position < len(found) else None
    if program is None or _PROGRAM.fullmatch(program.text) is None:
        shown = program.text if program is not None and not program.problem else None
        raise SpecError("command", "must start with spark-submit", shown)
    return [_given(word) for word in found[position + 1 :]], assigned


def _given(word: shell.Word) -> str:
    if word.problem:
        raise SpecError("command", word.problem)
    return word.text
