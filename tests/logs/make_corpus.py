"""Makes tests/logs/corpus anew: the logs of real Spark drivers of three versions, in their own format and as JSON.

    python tests/logs/make_corpus.py

Lines are stamped as a container runtime does it; folders of the machine and process ids are taken out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyspark

CORPUS = Path(__file__).parent / "corpus"
JOB = Path(__file__).with_name("real_job.py")
SPARKS = Path(__file__).parents[2] / ".sparks"
PATTERN = """rootLogger.level = info
rootLogger.appenderRef.stdout.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
"""
JSON = (
    PATTERN.partition("appender.console.layout")[0]
    + """appender.console.layout.type = JsonTemplateLayout
appender.console.layout.eventTemplateUri = classpath:org/apache/spark/SparkLayout.json
"""
)
RUNS = {
    "3.5-text": (SPARKS / "3.5.9" / "pyspark", PATTERN),
    "4.0-text": (SPARKS / "4.0.5" / "pyspark", PATTERN),
    "4.0-json": (SPARKS / "4.0.5" / "pyspark", JSON),
    "4.3-text": (Path(pyspark.__file__).parent, PATTERN),
    "4.3-json": (Path(pyspark.__file__).parent, JSON),
}


def log_of(home: Path, layout: str) -> list[str]:
    """Run the job; returns its lines, stamped."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log4j2.properties").write_text(layout)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SPARK")},
            "SPARK_HOME": str(home),
            "SPARK_CONF_DIR": folder,
            "PYTHONPATH": str(home.parent),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        options = ["--master", "local[1]", "--conf", "spark.ui.enabled=false", "--conf", f"spark.local.dir={folder}"]
        options += ["--conf", f"spark.log.structuredLogging.enabled={'true' if layout == JSON else 'false'}"]
        command = [str(home / "bin" / "spark-submit"), *options, str(JOB)]
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout is not None
            lines = [f"{stamp()} {line.decode().rstrip()}" for line in process.stdout]
    return [cleaned(line, folder, str(home)) for line in lines]


def stamp() -> str:
    now = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"


def cleaned(line: str, folder: str, home: str) -> str:
    """Without what belongs to this machine."""
    for found, shown in ((folder, "/tmp/spark"), (home, "/opt/spark"), (str(JOB.parent), "/opt/job")):
        line = line.replace(found, shown)
    line = line.replace(sys.executable, "/usr/bin/python3").replace(sys.prefix, "/usr").replace(sys.base_prefix, "/usr")
    line = re.sub(r"\b\w+ resolves to a loopback", "host resolves to a loopback", line)
    return line.replace(os.uname().nodename, "host").replace(os.uname().release, "6.1.0")


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    for name, (home, layout) in RUNS.items():
        lines = log_of(home, layout)
        (CORPUS / f"{name}.log").write_text("\n".join(lines) + "\n")
        sys.stdout.write(f"{name}: {len(lines)} lines\n")
