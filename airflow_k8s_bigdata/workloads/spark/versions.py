"""Which rules of which Spark version a submission follows.

Settled by reading the released jars of 3.5.9, 4.0.5, 4.1.x, 4.2.x and 4.3.0 and by running their `spark-submit` against
a recording API server. A patch release has never changed an object, so rules go by major and minor version.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

from airflow_k8s_bigdata.errors import SpecError

NEWEST = "4.3.0"
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:[-.+_].*)?")
_IN_TAG = re.compile(r"(?:^|[^\d.])v?([34]\.\d+\.\d+)(?![\d.]*\d)")


@dataclass(frozen=True, slots=True)
class Rules:
    """What differs between Spark versions in the objects that a submission makes.

    :param load_defaults: spark-submit has the option `--load-spark-defaults`.
    :param strict_integers: 32-bit integers of pod templates are read from whole numbers alone, modes from octal text.
    :param label_placeholders: `{{APP_ID}}` is replaced in label values too, not only in annotations.
    :param min_memory_overhead: `spark.driver.minMemoryOverhead` is honoured.
    :param volume_details: `mount.subPathExpr`, hostPath's `options.type`, labels and annotations of claims, and the
        check for sizes without a unit.
    :param legacy_access_mode: what `spark.kubernetes.legacy.useReadWriteOnceAccessMode` is when it is not set.
    :param connect_port: the driver's container and service have the `spark-connect` port.
    :param version_in_images: `{{SPARK_VERSION}}` in image names is replaced.
    :param excluded_steps: `spark.kubernetes.driver.pod.excludedFeatureSteps` is honoured.
    :param system_exit: `spark.submit.callSystemExitOnMainExit` is known.
    :param binary_units: sizes may end in `kib`, `mib`, `gib`, `tib`, `pib`.
    :param volcano_class: the released jar has Volcano's feature step.
    :param pod_group_json: `spark.kubernetes.scheduler.volcano.podGroupTemplateJson` is known.
    :param grpc_protocol: the service's `spark-connect` port says `appProtocol: grpc`.
    :param network_policy: executors accept connections from the application's own pods only.
    :param privilege_escalation: `allowPrivilegeEscalation` is written to the container.
    :param publish_not_ready: `publishNotReadyAddresses` is written to the service.
    :param proxy_user_is_spark_user: SPARK_USER is the proxy user when there is one.
    """

    load_defaults: bool
    strict_integers: bool
    label_placeholders: bool
    min_memory_overhead: bool
    volume_details: bool
    legacy_access_mode: bool
    connect_port: bool
    version_in_images: bool
    excluded_steps: bool
    system_exit: bool
    binary_units: bool
    volcano_class: bool
    pod_group_json: bool
    grpc_protocol: bool
    network_policy: bool
    privilege_escalation: bool
    publish_not_ready: bool
    proxy_user_is_spark_user: bool


def _rules(minor: tuple[int, int]) -> Rules:
    return Rules(
        load_defaults=minor >= (4, 0),
        strict_integers=minor >= (4, 0),
        label_placeholders=minor >= (4, 0),
        min_memory_overhead=minor >= (4, 0),
        volume_details=minor >= (4, 0),
        legacy_access_mode=minor < (4, 0),
        connect_port=minor >= (4, 1),
        version_in_images=minor >= (4, 1),
        excluded_steps=minor >= (4, 1),
        system_exit=minor >= (4, 1),
        binary_units=minor >= (4, 2),
        volcano_class=minor >= (4, 2),
        pod_group_json=minor >= (4, 2),
        grpc_protocol=minor >= (4, 2),
        network_policy=minor >= (4, 2),
        privilege_escalation=minor >= (4, 3),
        publish_not_ready=minor >= (4, 3),
        proxy_user_is_spark_user=minor >= (4, 3),
    )


RULES = {minor: _rules(minor) for minor in ((3, 5), (4, 0), (4, 1), (4, 2), (4, 3))}
OLDEST_MINOR, NEWEST_MINOR = min(RULES), max(RULES)


def rules_for(version: str) -> Rules:
    """The rules for a Spark version such as `4.0.5`; for a newer one than is known, the newest rules.

    Raises SpecError for text that is no version and for versions before 3.5.
    """
    minor = minor_of(version)
    if minor < OLDEST_MINOR:
        raise SpecError("spark_version", "Spark before 3.5 is not supported; 3.5, 4.0, 4.1, 4.2 and 4.3 are", version)
    return RULES.get(minor, RULES[NEWEST_MINOR])


def warn_if_unknown(version: str) -> None:
    """One warning when the version is newer than any that was compared with a real `spark-submit`."""
    if minor_of(version) > NEWEST_MINOR:
        known = ".".join(map(str, NEWEST_MINOR))
        warnings.warn(
            f"Spark {version} is newer than {known}: its driver is built by the rules of {known}", stacklevel=3
        )


def minor_of(version: str) -> tuple[int, int]:
    """Major and minor number. Raises SpecError when the text does not start with them."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise SpecError("spark_version", "must read like 4.3.0", version)
    return int(match[1]), int(match[2])


def version_of_image(image: str | None) -> str | None:
    """The Spark version that an image's tag names, as in `apache/spark:4.0.5-python3`; None if it names none."""
    if not image:
        return None
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    found = _IN_TAG.search(tag)
    return found[1] if found else None
