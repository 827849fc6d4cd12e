"""Cluster IPs of services: unique addresses of a private range, as clients expect one; nothing listens there."""

from __future__ import annotations

import ipaddress

from airflow_k8s_bigdata.localkube.store import Object, Store

_RANGE = ipaddress.ip_network("10.96.0.0/16")
# The first ten addresses stay free for those that a cluster's own services have by custom (10.96.0.1, 10.96.0.10).
_FIRST = 11


def give_cluster_ip(store: Store, service: Object) -> None:
    """Set clusterIP and clusterIPs of a new service that has none and is neither headless nor an external name."""
    spec = service["spec"]
    if spec.get("clusterIP") or spec.get("type") == "ExternalName":
        return
    taken = {each["spec"].get("clusterIP") for each in store.list("services")}
    address = next(
        str(_RANGE[number]) for number in range(_FIRST, _RANGE.num_addresses - 1) if str(_RANGE[number]) not in taken
    )
    spec["clusterIP"] = address
    spec["clusterIPs"] = [address]
