"""Files of SPARK_CONF_DIR that come to the driver beside spark.properties."""

from __future__ import annotations

import re

from airflow_k8s_bigdata.workloads.spark import keys, uris
from airflow_k8s_bigdata.workloads.spark.settings import refuse
from airflow_k8s_bigdata.workloads.spark.submission import Submission

DEFAULT_SIZE = 1024 * 1024
_LEFT_OUT = re.compile(r".*\.template|spark.*(?:conf|properties)|.*\.(?:gz|zip|jar|tar)")


def travels(name: str) -> bool:
    """Whether a file of that name is taken along (KubernetesClientUtils.listConfFiles)."""
    return _LEFT_OUT.fullmatch(name) is None


def shipped(submission: Submission) -> dict[str, str]:
    """The files that fit, smallest first, by name; what is not UTF-8 text stays behind, as in Spark."""
    limit = max_size(submission)
    folder = submission.submitter.conf_dir
    if not folder:
        return {}
    files = {name: data for name, data in uris.folder(submission.contents, folder).items() if travels(name)}
    chosen: dict[str, str] = {}
    total = 0
    for name, data in sorted(files.items(), key=lambda item: (len(item[1]), item[0])):
        size = len(name) + len(data)
        if len(data) >= limit or total + size >= limit:
            break
        try:
            chosen[name] = data.decode()
        except UnicodeDecodeError:
            continue
        total += size
    return chosen


def max_size(submission: Submission) -> int:
    """How many bytes of files may be taken along."""
    size = submission.settings.integer(keys.CONF_MAP_SIZE, DEFAULT_SIZE)
    if size > DEFAULT_SIZE:
        problem = f"must be at most {DEFAULT_SIZE} bytes, what the Kubernetes API accepts"
        raise refuse(keys.CONF_MAP_SIZE, problem, str(size))
    return size
