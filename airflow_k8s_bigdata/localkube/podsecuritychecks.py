"""The single checks of the Pod Security Standards, by level, with the words that Kubernetes has for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from airflow_k8s_bigdata.localkube.store import Object

Found = tuple[str, str]
"""A failed check: its reason, and the details."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    :param run: minor version of the policy, pod's metadata, pod's spec -> what was found, None for nothing.
    :param since: the first minor version that has it.
    :param instead_of: a baseline check that a restricted one makes needless.
    """

    run: Callable[[int, Object, Object], Found | None]
    since: int = 0
    instead_of: str = ""


def _containers(spec: Object) -> Iterator[Object]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(kind) or ()


def _context(holder: Object) -> Object:
    return holder.get("securityContext") or {}


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def _named(names: list[str], word: str = "container") -> str:
    return f"{_plural(len(names), word)} {_quoted(names)}"


def _setters(pod: bool, names: list[str]) -> str:
    return " and ".join([*(["pod"] if pod else []), *([_named(names)] if names else [])])


def _failing(spec: Object, bad: Callable[[Object], Any]) -> list[str]:
    return [each.get("name", "") for each in _containers(spec) if bad(each)]


# Baseline


def _app_armor(_: int, meta: Object, spec: Object) -> Found | None:
    def bad(holder: Object) -> str:
        profile = _context(holder).get("appArmorProfile")
        kind = "" if profile is None else profile.get("type", "")
        return "" if profile is None or kind in ("RuntimeDefault", "Localhost") else kind

    names = _failing(spec, bad)
    values = sorted({bad(holder) for holder in (spec, *_containers(spec)) if bad(holder)})
    notes = sorted(
        f"{key}={json.dumps(value)}"
        for key, value in (meta.get("annotations") or {}).items()
        if key.startswith("container.apparmor.security.beta.kubernetes.io/")
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    if not values and not notes:
        return None
    values += notes
    setters = (_setters(bool(bad(spec)), names), _plural(len(notes), "annotation") if notes else "")
    told = " and ".join(filter(None, setters))
    return (
        _plural(len(values), "forbidden AppArmor profile"),
        f"{told} must not set AppArmor profile type to {_quoted(values)}",
    )


_DEFAULT_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip


def _added(container: Object) -> set[str]:
    return set((_context(container).get("capabilities") or {}).get("add") or ())


def _capabilities(_: int, _meta: Object, spec: Object) -> Found | None:
    names = _failing(spec, lambda each: _added(each) - _DEFAULT_CAPABILITIES)
    if not names:
        return None
    forbidden = sorted(set[str]().union(*(_added(each) for each in _containers(spec))) - _DEFAULT_CAPABILITIES)
    detail = f"{_named(names)} must not include {_quoted(forbidden)} in securityContext.capabilities.add"
    return "non-default capabilities", detail


def _host_namespaces(_: int, _meta: Object, spec: Object) -> Found | None:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return ("host namespaces", ", ".join(shared)) if shared else None


def _host_paths(_: int, _meta: Object, spec: Object) -> Found | None:
    names = [each.get("name", "") for each in spec.get("volumes") or () if each.get("hostPath") is not None]
    return ("hostPath volumes", _named(names, "volume")) if names else None


def _host_ports(_: int, _meta: Object, spec: Object) -> Found | None:
    def ports(container: Object) -> set[str]:
        return {str(each["hostPort"]) for each in container.get("ports") or () if each.get("hostPort")}

    names = _failing(spec, ports)
    if not names:
        return None
    every = sorted(set[str]().union(*(ports(each) for each in _containers(spec))))
    verb = "uses" if len(names) == 1 else "use"
    return "hostPort", f"{_named(names)} {verb} {_plural(len(every), 'hostPort')} {', '.join(every)}"


def _probe_hosts(_: int, _meta: Object, spec: Object) -> Found | None:
    def hosts(container: Object) -> set[str]:
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
        handlers += [lifecycle.get(hook) for hook in ("postStart", "preStop")]
        ways = [(each or {}).get(way) or {} for each in handlers for way in ("httpGet", "tcpSocket")]
        return {way["host"] for way in ways if way.get("host")}

    names = sorted(set(_failing(spec, hosts)))
    if not names:
        return None
    every = sorted(set[str]().union(*(hosts(each) for each in _containers(spec))))
    verb = "uses" if len(names) == 1 else "use"
    words = _plural(len(every), "probe or lifecycle host")
    return "probe or lifecycle host", f"{_named(names)} {verb} {words} {_quoted(every)}"


def _privileged(_: int, _meta: Object, spec: Object) -> Found | None:
    names = _failing(spec, lambda each: _context(each).get("privileged"))
    return ("privileged", f"{_named(names)} must not set securityContext.privileged=true") if names else None


def _proc_mount(minor: int, _meta: Object, spec: Object) -> Found | None:
    return None if _in_user_namespace(minor, spec) else _masked_proc(minor, _meta, spec)


def _masked_proc(_: int, _meta: Object, spec: Object) -> Found | None:
    def kind(container: Object) -> str:
        return str(_context(container).get("procMount") or "Default")

    names = _failing(spec, lambda each: kind(each) != "Default")
    if not names:
        return None
    kinds = sorted({kind(each) for each in _containers(spec)} - {"Default"})
    return "procMount", f"{_named(names)} must not set securityContext.procMount to {_quoted(kinds)}"


def _in_user_namespace(minor: int, spec: Object) -> bool:
    return minor >= 35 and spec.get("hostUsers") is False


def _selinux(minor: int, _meta: Object, spec: Object) -> Found | None:
    allowed = {"", "container_t", "container_init_t", "container_kvm_t"}
    allowed |= {"container_engine_t"} if minor >= 31 else set()

    def options(holder: Object) -> Object:
        return _context(holder).get("seLinuxOptions") or {}

    def bad(holder: Object) -> bool:
        given = options(holder)
        return given.get("type", "") not in allowed or bool(given.get("user") or given.get("role"))

    names, pod = _failing(spec, bad), bad(spec)
    if not names and not pod:
        return None
    every = [options(holder) for holder in (spec, *_containers(spec))]
    types = sorted({each.get("type", "") for each in every} - allowed)
    told = [f"{_plural(len(types), 'type')} {_quoted(types)}"] if types else []
    told += [f"{field} may not be set" for field in ("user", "role") if any(each.get(field) for each in every)]
    return (
        "seLinuxOptions",
        f"{_setters(pod, names)} set forbidden securityContext.seLinuxOptions: {'; '.join(told)}",
    )


def _seccomp_type(holder: Object) -> str | None:
    profile = _context(holder).get("seccompProfile")
    return None if profile is None else str(profile.get("type", ""))


def _bad_seccomp(holder: Object) -> bool:
    return _seccomp_type(holder) not in (None, "RuntimeDefault", "Localhost")


def _seccomp(minor: int, meta: Object, spec: Object) -> Found | None:
    return _seccomp_fields(spec) if minor >= 19 else _seccomp_notes(meta, spec)


def _seccomp_notes(meta: Object, spec: Object) -> Found | None:
    keys = ["seccomp.security.alpha.kubernetes.io/pod"]
    keys += [f"container.seccomp.security.alpha.kubernetes.io/{each.get('name', '')}" for each in _containers(spec)]
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key in keys}
    bad = sorted(
        f"{key}={json.dumps(value)}"
        for key, value in notes.items()
        if value not in ("runtime/default", "docker/default") and not value.startswith("localhost/")
    )
    return ("seccompProfile", f"forbidden {_plural(len(bad), 'annotation')} {', '.join(bad)}") if bad else None


def _seccomp_fields(spec: Object) -> Found | None:
    names, pod = _failing(spec, _bad_seccomp), _bad_seccomp(spec)
    if not names and not pod:
        return None
    values = sorted({str(_seccomp_type(each)) for each in (spec, *_containers(spec)) if _bad_seccomp(each)})
    detail = f"{_setters(pod, names)} must not set securityContext.seccompProfile.type to {_quoted(values)}"
    return "seccompProfile", detail


_SYSCTLS = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
]


def _sysctls(minor: int, _meta: Object, spec: Object) -> Found | None:
    allowed = {name for since, name in _SYSCTLS if minor >= since}
    names = [each.get("name", "") for each in _context(spec).get("sysctls") or ()]
    forbidden = [name for name in names if name not in allowed]
    return ("forbidden sysctls", ", ".join(forbidden)) if forbidden else None


def _host_process(_: int, _meta: Object, spec: Object) -> Found | None:
    def bad(holder: Object) -> bool:
        return bool((_context(holder).get("windowsOptions") or {}).get("hostProcess"))

    names = _failing(spec, bad)
    if not names and not bad(spec):
        return None
    return "hostProcess", f"{_setters(bad(spec), names)} must not set securityContext.windowsOptions.hostProcess=true"


# Restricted


def _for_windows(minor: int, spec: Object) -> bool:
    return minor >= 25 and (spec.get("os") or {}).get("name") == "windows"


def _escalation(minor: int, _meta: Object, spec: Object) -> Found | None:
    names = _failing(spec, lambda each: _context(each).get("allowPrivilegeEscalation") is not False)
    if not names or _for_windows(minor, spec):
        return None
    detail = f"{_named(names)} must set securityContext.allowPrivilegeEscalation=false"
    return "allowPrivilegeEscalation != false", detail


def _dropped(minor: int, _meta: Object, spec: Object) -> Found | None:
    if _for_windows(minor, spec):
        return None
    keeping = _failing(spec, lambda each: "ALL" not in ((_context(each).get("capabilities") or {}).get("drop") or ()))
    adding = _failing(spec, lambda each: _added(each) - {"NET_BIND_SERVICE"})
    details = [f'{_named(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    if adding:
        every = sorted(set[str]().union(*(_added(each) for each in _containers(spec))) - {"NET_BIND_SERVICE"})
        details.append(f"{_named(adding)} must not include {_quoted(every)} in securityContext.capabilities.add")
    return ("unrestricted capabilities", "; ".join(details)) if details else None


_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
_OTHER_VOLUMES = {
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd",
    "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk",
    "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos",
}  # fmt: skip


def _volumes(_: int, _meta: Object, spec: Object) -> Found | None:
    bad = [each for each in spec.get("volumes") or () if not _VOLUMES & {key for key in each if each[key] is not None}]
    if not bad:
        return None
    names = [each.get("name", "") for each in bad]
    kinds = sorted({next((key for key in each if key in _OTHER_VOLUMES), "unknown") for each in bad})
    verb = "uses" if len(names) == 1 else "use"
    words = _plural(len(kinds), "restricted volume type")
    return "restricted volume types", f"{_named(names, 'volume')} {verb} {words} {_quoted(kinds)}"


def _not_root(minor: int, _meta: Object, spec: Object) -> Found | None:
    if _in_user_namespace(minor, spec):
        return None
    pod = _context(spec).get("runAsNonRoot")
    denying = _failing(spec, lambda each: _context(each).get("runAsNonRoot") is False)
    silent = [] if pod else _failing(spec, lambda each: _context(each).get("runAsNonRoot") is None)
    if pod is False or denying:
        detail = f"{_setters(pod is False, denying)} must not set securityContext.runAsNonRoot=false"
    elif silent:
        detail = f"pod or {_named(silent)} must set securityContext.runAsNonRoot=true"
    else:
        return None
    return "runAsNonRoot != true", detail


def _not_uid_0(minor: int, _meta: Object, spec: Object) -> Found | None:
    if _in_user_namespace(minor, spec):
        return None
    names, pod = _failing(spec, lambda each: _context(each).get("runAsUser") == 0), _context(spec).get("runAsUser") == 0
    return ("runAsUser=0", f"{_setters(pod, names)} must not set runAsUser=0") if names or pod else None


def _seccomp_given(minor: int, _meta: Object, spec: Object) -> Found | None:
    if _for_windows(minor, spec):
        return None
    silent = [] if _seccomp_type(spec) else _failing(spec, lambda each: _seccomp_type(each) is None)
    bad = _seccomp_fields(spec)
    if bad or not silent:
        return bad
    detail = f'pod or {_named(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return "seccompProfile", detail


# In the order in which Kubernetes tells what it found: by name.
BASELINE = {
    "appArmorProfile": Check(_app_armor),
    "capabilities_baseline": Check(_capabilities),
    "hostNamespaces": Check(_host_namespaces),
    "hostPathVolumes": Check(_host_paths),
    "hostPorts": Check(_host_ports),
    "hostProbesAndHostLifecycle": Check(_probe_hosts, since=34),
    "privileged": Check(_privileged),
    "procMount": Check(_proc_mount),
    "seLinuxOptions": Check(_selinux),
    "seccompProfile_baseline": Check(_seccomp),
    "sysctls": Check(_sysctls),
    "windowsHostProcess": Check(_host_process),
}
RESTRICTED = {
    "allowPrivilegeEscalation": Check(_escalation, since=8),
    "capabilities_restricted": Check(_dropped, since=22, instead_of="capabilities_baseline"),
    "procMount_restricted": Check(_masked_proc, since=35, instead_of="procMount"),
    "restrictedVolumes": Check(_volumes, instead_of="hostPathVolumes"),
    "runAsNonRoot": Check(_not_root),
    "runAsUser": Check(_not_uid_0, since=23),
    "seccompProfile_restricted": Check(_seccomp_given, since=19, instead_of="seccompProfile_baseline"),
}
