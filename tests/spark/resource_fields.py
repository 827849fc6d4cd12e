"""Every field of the schemas of Spark's custom resources, each with a value that says something."""

from __future__ import annotations

from typing import Any

import yaml

_POD: dict[str, Any] = yaml.safe_load("""
affinity: {nodeAffinity: {}}
annotations: {team: data}
configMaps: [{name: settings, path: /etc/settings}]
coreLimit: 1200m
coreRequest: 500m
cores: 3
dnsConfig: {nameservers: [10.0.0.1]}
env: [{name: STAGE, value: prod}]
envFrom: [{secretRef: {name: keys}}]
envSecretKeyRefs: {KEY: {name: keys, key: id}}
envVars: {STAGE: prod}
gpu: {name: nvidia.com/gpu, quantity: 1}
hostAliases: [{ip: 10.0.0.2, hostnames: [db]}]
hostNetwork: true
image: registry.example/other:2
initContainers: [{name: first, image: "busybox:1"}]
javaOptions: -Da=b
labels: {team: data}
lifecycle: {preStop: {exec: {command: [sync]}}}
memory: 3g
memoryLimit: 4g
memoryOverhead: 1g
nodeSelector: {disk: ssd}
podSecurityContext: {runAsUser: 185}
ports: [{name: jmx, protocol: TCP, containerPort: 9000}]
priorityClassName: high
schedulerName: other
secrets: [{name: gcp, path: /mnt/gcp, secretType: GCPServiceAccount}]
securityContext: {runAsUser: 185}
serviceAccount: other
shareProcessNamespace: true
sidecars: [{name: proxy, image: "proxy:1"}]
template: {metadata: {labels: {a: b}}, spec: {containers: []}}
terminationGracePeriodSeconds: 5
tolerations: [{operator: Exists}]
volumeMounts: [{name: scratch, mountPath: /scratch}]
""")

DRIVER = _POD | {
    "kubernetesMaster": "k8s://https://10.0.0.1",
    "podName": "mine",
    "serviceAnnotations": {"a": "b"},
    "serviceLabels": {"a": "b"},
}
EXECUTOR = _POD | {"deleteOnTermination": False, "instances": 7}

SPEC: dict[str, Any] = yaml.safe_load("""
arguments: [--date, today]
batchScheduler: volcano
deps: {jars: [local:///a.jar]}
deps.archives: [local:///a.tgz]
deps.excludePackages: ["a:b"]
deps.files: [local:///a.txt]
deps.jars: [local:///a.jar]
deps.packages: ["a:b:1"]
deps.pyFiles: [local:///a.py]
deps.repositories: [https://repository.example]
driverIngressOptions: [{servicePort: 4040}]
driverPodDisruptionBudget: true
dynamicAllocation: {enabled: true, minExecutors: 3}
failureRetries: 3
hadoopConf: {fs.defaultFS: hdfs://name}
hadoopConfigMap: hadoop
image: registry.example/other:2
imagePullPolicy: Always
imagePullSecrets: [registry]
mainApplicationFile: local:///other.py
memoryOverheadFactor: "0.3"
monitoring: {exposeDriverMetrics: true}
nodeSelector: {disk: ssd}
proxyUser: joe
pythonVersion: "3"
restartPolicy: {type: OnFailure}
retryInterval: 3
sparkConf: {spark.a: b}
sparkConfigMap: spark
sparkUIOptions: {servicePort: 80}
sparkVersion: 4.0.5
suspend: true
timeToLiveSeconds: 60
""")
"""Of the application; a dot leads into a mapping."""

_DYNAMIC = {"dynamicAllocation": {"enabled": True}}
_VOLCANO = {"batchScheduler": "volcano"}
BESIDE: dict[str, tuple[dict[str, Any], Any]] = {
    "batchSchedulerOptions.queue": (_VOLCANO, "q"),
    "batchSchedulerOptions.priorityClassName": (_VOLCANO, "high"),
    "batchSchedulerOptions.resources": (_VOLCANO, {"cpu": 9}),
    "dynamicAllocation.initialExecutors": (_DYNAMIC, 3),
    "dynamicAllocation.minExecutors": (_DYNAMIC, 3),
    "dynamicAllocation.maxExecutors": (_DYNAMIC, 3),
    "dynamicAllocation.shuffleTrackingEnabled": (_DYNAMIC, False),
    "dynamicAllocation.shuffleTrackingTimeout": (_DYNAMIC, 60000),
    "mainClass": ({"mainApplicationFile": "local:///a.jar", "mainClass": "com.example.One"}, "com.example.Two"),
    "type": ({"batchScheduler": "yunikorn", "driver": {"memory": "8g"}}, "Java"),
}
"""Fields that say something beside others only: those, and a value."""

SCHEDULE = {
    "schedule": "0 3 * * *",
    "timeZone": "Europe/Berlin",
    "concurrencyPolicy": "Forbid",
    "suspend": True,
    "successfulRunHistoryLimit": 1,
    "failedRunHistoryLimit": 1,
}

APACHE: dict[str, Any] = yaml.safe_load("""
applicationTolerations: {restartConfig: {restartPolicy: Always}}
configMapSpecs: [{name: a}]
driverArgs: [a]
driverGrpcRouteList: [{}]
driverHttpRouteList: [{}]
driverServiceIngressList: [{}]
driverSpec: {podTemplateSpec: {spec: {tolerations: [{operator: Exists}]}}}
executorSpec: {podTemplateSpec: {spec: {tolerations: [{operator: Exists}]}}}
files: local:///a.txt
jars: local:///other.jar
mainClass: com.example.Other
proxyUser: joe
pyFiles: local:///a.py
runtimeVersions: {sparkVersion: 3.5.9}
runtimeVersions.jdkVersion: "17"
runtimeVersions.scalaVersion: "2.13"
sparkConf: {spark.a: b, spark.kubernetes.container.image: "apache/spark:4.0.0"}
sparkRFiles: local:///a.R
""")


def put(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The spec with a value at a path."""
    name, _, rest = path.partition(".")
    return {**spec, name: put(spec.get(name) or {}, rest, value) if rest else value}
