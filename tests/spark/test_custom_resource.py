"""Custom resources of Kubeflow's and Apache's Spark operators as applications of ours."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import DynamicAllocation, SparkApplication, custom_resource, manifests
from tests.spark import resource_fields
from tests.spark.applications import IDENTITY, container, only, spark_properties

RESOURCE: dict[str, Any] = yaml.safe_load("""
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata: {name: daily-orders, namespace: etl}
spec:
  type: Python
  mode: cluster
  sparkVersion: 4.0.5
  image: registry.example/spark:1
  imagePullPolicy: Always
  imagePullSecrets: [reg]
  mainApplicationFile: local:///opt/job.py
  arguments: ["--date", "2026-01-01"]
  sparkConf: {spark.sql.shuffle.partitions: "8"}
  hadoopConf: {fs.s3a.endpoint: http://s3.example}
  deps: {jars: [local:///opt/a.jar], packages: ["org.example:lib:1.0"]}
  restartPolicy: {type: OnFailure, onFailureRetries: 3}
  batchScheduler: volcano
  batchSchedulerOptions: {queue: q}
  dynamicAllocation: {enabled: true, minExecutors: 1, maxExecutors: 9}
  monitoring: {exposeDriverMetrics: true}
  volumes:
  - {name: scratch, emptyDir: {}}
  - {name: unused, emptyDir: {}}
  driver:
    cores: 2
    coreLimit: 3000m
    memory: 2g
    serviceAccount: spark
    labels: {team: data}
    envVars: {STAGE: prod}
    env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    envSecretKeyRefs: {KEY: {name: aws, key: id}}
    secrets: [{name: gcp, path: /mnt/gcp, secretType: GCPServiceAccount}]
    configMaps: [{name: settings, path: /etc/settings}]
    volumeMounts: [{name: scratch, mountPath: /scratch}]
    tolerations: [{operator: Exists}]
    sidecars: [{name: proxy, image: "proxy:1"}]
    serviceLabels: {svc: l}
    javaOptions: -Da=b
    mystery: 1
  executor:
    instances: 3
    memory: 4g
    gpu: {name: nvidia.com/gpu, quantity: 2}
    priorityClassName: batch
""")


@pytest.fixture(scope="module")
def converted() -> Any:
    """Application, fields without an equivalent, and objects."""
    application, left = custom_resource.application_of(RESOURCE)
    return application, left, manifests(application)


def test_fields_without_an_equivalent_are_listed(converted: Any) -> None:
    _, left, _ = converted
    assert left == ["spec.restartPolicy", "spec.monitoring", "spec.driver.mystery"]


def test_the_program_is_taken_over(converted: Any) -> None:
    application, _, objects = converted
    assert (application.name, application.version) == ("daily-orders", "4.0.5")
    assert container(objects)["args"][-3:] == ["local:///opt/job.py", "--date", "2026-01-01"]


def test_configuration_becomes_sparks_keys(converted: Any) -> None:
    expected = {
        "spark.sql.shuffle.partitions": "8",
        "spark.hadoop.fs.s3a.endpoint": "http://s3.example",
        "spark.kubernetes.container.image.pullPolicy": "Always",
        "spark.kubernetes.driver.limit.cores": "3000m",
        "spark.driver.extraJavaOptions": "-Da=b",
        "spark.jars": "local:///opt/a.jar",
        "spark.jars.packages": "org.example:lib:1.0",
        "spark.kubernetes.namespace": "etl",
    }
    assert expected.items() <= spark_properties(converted[2]).items()


def test_what_spark_has_no_key_for_goes_into_the_templates(converted: Any) -> None:
    spec = only(converted[2], "Pod")["spec"]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert [found["name"] for found in spec["containers"]] == ["proxy", "spark-kubernetes-driver"]
    assert {"scratch", "settings-vol"} <= {volume["name"] for volume in spec["volumes"]}
    assert "unused" not in str(spec)


def test_variables_and_secrets_reach_the_driver(converted: Any) -> None:
    env = {entry["name"]: entry.get("value") for entry in container(converted[2])["env"]}
    assert env["GOOGLE_APPLICATION_CREDENTIALS"] == "/mnt/gcp/key.json"
    assert {"POD", "KEY", "STAGE"} <= env.keys()


def test_executors_follow_dynamic_allocation_and_their_template(converted: Any) -> None:
    application, _, _ = converted
    assert application.executor.instances == DynamicAllocation(1, 9, 3)
    spec = application.executor.pod_template["spec"]
    assert spec["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert spec["priorityClassName"] == "batch"


def test_volcanos_queue_becomes_a_pod_group(converted: Any) -> None:
    resources = {"cpu": "5", "memory": f"{2048 + 3 * 4096}Mi"}
    assert only(converted[2], "PodGroup")["spec"] == {"queue": "q", "minMember": 1, "minResources": resources}


def test_a_resource_is_left_as_it_was() -> None:
    before = copy.deepcopy(RESOURCE)
    custom_resource.application_of(RESOURCE)
    assert before == RESOURCE


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"apiVersion": "sparkoperator.k8s.io/v1alpha1"}, "apiVersion"),
        ({"apiVersion": "spark.apache.org/v1", "kind": "SparkCluster"}, "SparkCluster of spark.apache.org/v1"),
        ({"spec": {"mode": "client"}}, "spec.mode"),
        ({"apiVersion": "spark.apache.org/v1", "spec": {"deploymentMode": "ClientMode"}}, "spec.deploymentMode"),
    ],
)
def test_another_kind_or_mode_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError, match=field.replace(".", r"\.")):
        custom_resource.application_of({**RESOURCE, **change})


SMALL: dict[str, Any] = yaml.safe_load("""
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata: {name: pi, namespace: jobs}
spec:
  type: Python
  mode: cluster
  image: registry.example/spark:3.5.1
  mainApplicationFile: local:///opt/app/pi.py
  sparkVersion: 3.5.1
  volumes: [{name: scratch, emptyDir: {}}]
  driver: {cores: 1, memory: 512m}
  executor: {cores: 1, instances: 1, memory: 512m}
""")
APACHE: dict[str, Any] = {
    "apiVersion": "spark.apache.org/v1",
    "kind": "SparkApplication",
    "metadata": {"name": "pi"},
    "spec": {
        "mainClass": "com.example.Job",
        "jars": "local:///job.jar",
        "sparkConf": {"spark.kubernetes.container.image": "apache/spark:4.0.0"},
        "runtimeVersions": {"sparkVersion": "4.0.0"},
    },
}


def convert(
    spec: dict[str, Any], resource: dict[str, Any] = SMALL, **others: Any
) -> tuple[SparkApplication, list[str]]:
    """A resource with these fields set over its own; a dot leads into a mapping."""
    whole = dict(resource["spec"])
    for path, value in spec.items():
        whole = resource_fields.put(whole, path, value)
    return custom_resource.application_of({**resource, "spec": whole, **others})


def driver_of(spec: dict[str, Any], **others: Any) -> dict[str, Any]:
    """The driver's pod of a small resource with these fields set."""
    return only(manifests(convert(spec, **others)[0]), "Pod")


def main_of(pod: dict[str, Any]) -> dict[str, Any]:
    [main] = [found for found in pod["spec"]["containers"] if found["name"] == "spark-kubernetes-driver"]
    return main


def keys_of(spec: dict[str, Any], **others: Any) -> dict[str, str]:
    """Spark's keys of a small resource with these fields set."""
    return spark_properties(manifests(convert(spec, **others)[0]))


def _every_field() -> list[Any]:
    cases: list[tuple[dict[str, Any], str, dict[str, Any], Any]] = []
    cases += [(SMALL, path, {}, value) for path, value in resource_fields.SPEC.items()]
    cases += [(SMALL, f"driver.{path}", {}, value) for path, value in resource_fields.DRIVER.items()]
    cases += [(SMALL, f"executor.{path}", {}, value) for path, value in resource_fields.EXECUTOR.items()]
    cases += [(SMALL, path, beside, value) for path, (beside, value) in resource_fields.BESIDE.items()]
    cases += [(APACHE, path, {}, value) for path, value in resource_fields.APACHE.items()]
    return [pytest.param(*case, id=f"{case[0]['apiVersion'].partition('.')[0]}-{case[1]}") for case in cases]


@pytest.mark.parametrize(("resource", "path", "beside", "value"), _every_field())
def test_no_field_of_a_schema_is_dropped_in_silence(
    resource: dict[str, Any], path: str, beside: dict[str, Any], value: Any
) -> None:
    before, _ = convert(beside, resource)
    after, left = convert({**beside, path: value}, resource)
    changed = after.manifests(IDENTITY) != before.manifests(IDENTITY)
    assert changed or any(found.startswith(f"spec.{path}") for found in left)


def test_the_schedule_belongs_to_the_dag() -> None:
    scheduled = {**SMALL, "kind": "ScheduledSparkApplication"}
    scheduled["spec"] = {**resource_fields.SCHEDULE, "template": {**SMALL["spec"], "suspend": True}}
    application, left = custom_resource.application_of(scheduled)
    assert application == convert({})[0]
    assert left == [f"spec.{name}" for name in resource_fields.SCHEDULE] + ["spec.template.suspend"]
    assert custom_resource.hint("spec.schedule") == "the DAG's schedule"


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_apaches_resource_speaks_as_spark_submit(version: str) -> None:
    application, left = convert({}, APACHE, apiVersion=f"spark.apache.org/{version}")
    objects = manifests(application)
    assert left == []
    assert container(objects)["args"][-2:] == ["com.example.Job", "local:///job.jar"]
    assert {"spark.authenticate": "true", "spark.app.name": "pi"}.items() <= spark_properties(objects).items()


@pytest.mark.parametrize(
    ("spec", "main", "py_files"),
    [
        ({"pyFiles": "local:///a.py,local:///b.py", "mainClass": "org.apache.spark.deploy.PythonRunner"}, "a", ("b",)),
        ({"pyFiles": "local:///a.py", "mainClass": None}, "a", ()),
    ],
)
def test_the_first_python_file_of_apaches_is_the_main_file(
    spec: dict[str, Any], main: str, py_files: tuple[str, ...]
) -> None:
    application, _ = convert({"jars": None, **spec}, APACHE)
    assert application.main == f"local:///{main}.py"
    assert application.main_class is None
    assert application.dependencies.py_files == tuple(f"local:///{file}.py" for file in py_files)


def test_apaches_image_may_name_the_version() -> None:
    conf = {"spark.kubernetes.container.image": "apache/spark:{{SPARK_VERSION}}"}
    assert convert({"sparkConf": conf}, APACHE)[0].conf["spark.kubernetes.container.image"] == "apache/spark:4.0.0"


def test_labels_of_the_resource_come_to_both_pods_but_those_of_kueue() -> None:
    metadata = {"name": "pi", "labels": {"team": "data", "version": "1", "kueue.x-k8s.io/queue-name": "q"}}
    application, _ = convert({"driver.labels": {"version": "3"}}, metadata=metadata)
    assert application.driver.labels == {"team": "data", "version": "3"}
    assert application.executor.labels == {"team": "data", "version": "1"}


def test_sparks_container_is_found_by_its_name_in_a_template() -> None:
    containers = [{"name": "shipper", "image": "shipper:3"}, {"name": "spark-kubernetes-driver", "tty": True}]
    pod = driver_of({"driver.template": {"spec": {"containers": containers}}})
    assert main_of(pod)["image"] == "registry.example/spark:3.5.1"
    assert main_of(pod)["tty"]
    assert {"name": "shipper", "image": "shipper:3"} in pod["spec"]["containers"]


def test_an_executors_container_is_told_to_the_driver_by_its_name() -> None:
    containers = [{"name": "shipper", "image": "shipper:3"}, {"name": "spark-kubernetes-executor"}]
    keys = keys_of({"executor.template": {"spec": {"containers": containers}}})
    assert keys["spark.kubernetes.executor.podTemplateContainerName"] == "spark-kubernetes-executor"


def test_a_pod_on_the_hosts_network_finds_services() -> None:
    assert driver_of({"driver.hostNetwork": True})["spec"]["dnsPolicy"] == "ClusterFirstWithHostNet"
    assert "hostNetwork" not in driver_of({"driver.hostNetwork": False})["spec"]


@pytest.mark.parametrize(
    ("config_map", "volume"),
    [
        ("settings", "settings-vol"),
        ("spark.application.conf", "spark-application-conf-faf58873-vol"),
        ("a" * 59, "a" * 59 + "-vol"),
        ("a" * 60, "a" * 50 + "-" + "11ee391211c6256460b6ed375957fadd"[:8] + "-vol"),
    ],
)
def test_a_config_maps_volume_has_a_name_that_the_api_takes(config_map: str, volume: str) -> None:
    pod = driver_of({"driver.configMaps": [{"name": config_map, "path": "/etc/app"}]})
    assert {"name": volume, "configMap": {"name": config_map}} in pod["spec"]["volumes"]
    assert {"name": volume, "mountPath": "/etc/app", "readOnly": True} in main_of(pod)["volumeMounts"]


def test_a_local_dir_is_mounted_by_sparks_own_keys() -> None:
    volume = {"name": "spark-local-dir-1", "persistentVolumeClaim": {"claimName": "OnDemand"}}
    prefix = "spark.kubernetes.executor.volumes.persistentVolumeClaim.spark-local-dir-1."
    sizes = {f"{prefix}options.storageClass": "gp3", f"{prefix}options.sizeLimit": "10Gi"}
    mount = {"name": "spark-local-dir-1", "mountPath": "/data1", "subPathExpr": "$(POD)"}
    spec = {"volumes": [volume], "executor.volumeMounts": [mount], "sparkConf": sizes}
    expected = sizes | {f"{prefix}mount.path": "/data1", f"{prefix}options.claimName": "OnDemand"}
    assert expected.items() <= keys_of(spec).items()
    assert convert(spec)[1] == ["spec.executor.volumeMounts[0].subPathExpr"]


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ({"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}, {"medium": "Memory", "sizeLimit": "1Gi"}),
        ({"hostPath": {"path": "/fast", "type": "Directory"}}, {"path": "/fast", "type": "Directory"}),
        (
            {"nfs": {"server": "nas", "path": "/x", "readOnly": True}},
            {"server": "nas", "path": "/x", "readOnly": "true"},
        ),
        ({"persistentVolumeClaim": {"claimName": "c", "readOnly": True}}, {"claimName": "c", "readOnly": "true"}),
    ],
)
def test_every_kind_of_local_dir_keeps_its_options(source: dict[str, Any], options: dict[str, str]) -> None:
    [kind] = source
    mount = {"name": "spark-local-dir-1", "mountPath": "/data", "subPath": "s", "readOnly": True}
    spec = {"volumes": [{"name": "spark-local-dir-1", **source}], "driver.volumeMounts": [mount]}
    start = f"spark.kubernetes.driver.volumes.{kind}.spark-local-dir-1."
    wanted = {f"{start}options.{name}": value for name, value in options.items()}
    wanted |= {f"{start}mount.path": "/data", f"{start}mount.subPath": "s", f"{start}mount.readOnly": "true"}
    assert wanted.items() <= convert(spec)[0].conf.items()


def test_a_mount_of_a_volume_that_is_not_there_is_named() -> None:
    assert convert({"driver.volumeMounts": [{"name": "typo", "mountPath": "/x"}]})[1] == ["spec.driver.volumeMounts[0]"]


@pytest.mark.parametrize(
    "gpu", [{"name": "", "quantity": 0}, {"name": "nvidia.com/gpu", "quantity": 0}, {"quantity": 1}]
)
def test_no_gpu_is_asked_for_without_name_and_number(gpu: dict[str, Any]) -> None:
    assert convert({"executor.gpu": gpu})[0].executor.pod_template is None


def test_executors_beside_dynamic_allocation_are_kept() -> None:
    keys = keys_of({"executor.instances": 5, "dynamicAllocation": {"enabled": True, "initialExecutors": 1}})
    assert keys["spark.executor.instances"] == "5"
    assert keys["spark.dynamicAllocation.initialExecutors"] == "1"


def test_bounds_of_dynamic_allocation_in_spark_conf_stay() -> None:
    conf = {"spark.dynamicAllocation.minExecutors": "2"}
    keys = keys_of({"sparkConf": conf, "dynamicAllocation": {"enabled": True, "maxExecutors": 9}})
    assert keys["spark.dynamicAllocation.minExecutors"] == "2"


def test_the_operator_starts_one_executor_where_nothing_says_how_many() -> None:
    assert keys_of({"executor": {}})["spark.executor.instances"] == "1"


@pytest.mark.parametrize(
    ("spec", "key", "value"),
    [
        ({"sparkConf": {"spark.driver.memory": "9g"}}, "spark.driver.memory", "512m"),
        (
            {"imagePullPolicy": "Always", "sparkConf": {"spark.kubernetes.container.image.pullPolicy": "Never"}},
            "spark.kubernetes.container.image.pullPolicy",
            "Never",
        ),
        (
            {"sparkConf": {"spark.kubernetes.executor.container.image": "other"}},
            "spark.kubernetes.executor.container.image",
            "registry.example/spark:3.5.1",
        ),
    ],
)
def test_the_later_of_two_arguments_wins_as_in_the_operators_command(
    spec: dict[str, Any], key: str, value: str
) -> None:
    keys = keys_of(spec)
    assert keys.get(key, keys["spark.kubernetes.container.image"]) == value


def test_the_webhooks_variables_win_over_those_of_spark_submit() -> None:
    secret = {"name": "gcp", "path": "/mnt/", "secretType": "GCPServiceAccount"}
    pod = driver_of(
        {
            "driver.env": [{"name": "STAGE", "value": "webhook"}],
            "driver.envVars": {"STAGE": "keys", "GOOGLE_APPLICATION_CREDENTIALS": "keys"},
            "driver.secrets": [secret],
            "sparkConf": {"spark.kubernetes.driverEnv.STAGE": "conf"},
        }
    )
    env = {entry["name"]: entry.get("value") for entry in main_of(pod)["env"]}
    assert (env["STAGE"], env["GOOGLE_APPLICATION_CREDENTIALS"]) == ("webhook", "/mnt/key.json")


def test_what_a_template_holds_is_added_to() -> None:
    given = {
        "tolerations": [{"key": "a"}],
        "initContainers": [{"name": "i", "image": "i:1"}],
        "containers": [{"name": "spark-kubernetes-driver", "env": [{"name": "A", "value": "1"}]}],
    }
    pod = driver_of(
        {
            "driver.template": {"metadata": {"labels": {"a": "b"}}, "spec": given},
            "driver.tolerations": [{"key": "b"}],
            "driver.initContainers": [{"name": "i", "image": "i:1"}, {"name": "j", "image": "i:1"}],
            "driver.env": [{"name": "B", "value": "2"}],
        }
    )
    assert pod["spec"]["tolerations"] == [{"key": "a"}, {"key": "b"}]
    assert [found["name"] for found in pod["spec"]["initContainers"]] == ["i", "j"]
    assert [entry["name"] for entry in main_of(pod)["env"]][:2] == ["A", "B"]
    assert pod["metadata"]["labels"]["a"] == "b"


def test_hadoops_config_map_is_mounted_where_the_operator_mounts_it() -> None:
    main = main_of(driver_of({"hadoopConfigMap": "hadoop"}))
    mount = {"name": "hadoop-configmap-volume", "mountPath": "/etc/hadoop/conf", "readOnly": True}
    assert mount in main["volumeMounts"]
    assert {"name": "HADOOP_CONF_DIR", "value": "/etc/hadoop/conf"} in main["env"]


@pytest.mark.parametrize("scheduler", ["kube-scheduler", "yunikorn", "volcano"])
def test_a_batch_scheduler_schedules_driver_and_executors(scheduler: str) -> None:
    spec = {"batchScheduler": scheduler, "driver.schedulerName": "other"}
    assert driver_of(spec)["spec"]["schedulerName"] == scheduler
    assert keys_of(spec)["spark.kubernetes.executor.scheduler.name"] == scheduler


def test_a_group_that_the_operator_would_make_is_named() -> None:
    [left] = convert({"batchScheduler": "kube-scheduler"})[1]
    assert left == "spec.batchScheduler: PodGroup"
    assert custom_resource.hint(left).startswith("the scheduler is set")


def test_volcano_counts_driver_and_all_executors() -> None:
    spec = {"batchScheduler": "volcano", "executor": {"coreRequest": "500m", "instances": 3, "memory": "2g"}}
    group = only(manifests(convert(spec)[0]), "PodGroup")
    assert group["spec"]["minResources"] == {"cpu": "2500m", "memory": f"{512 + 3 * 2048}Mi"}


def test_yunikorn_learns_its_task_groups_from_the_driver() -> None:
    spec = {
        "batchScheduler": "yunikorn",
        "batchSchedulerOptions": {"queue": "root.jobs", "priorityClassName": "high"},
        "executor": {"cores": 2, "instances": 4, "memory": "2g", "tolerations": [{"key": "spot"}]},
        "nodeSelector": {"disk": "ssd"},
    }
    pod = driver_of(spec)
    groups = json.loads(pod["metadata"]["annotations"]["yunikorn.apache.org/task-groups"])
    selector = {"disk": "ssd"}
    assert groups == [
        {
            "name": "spark-driver",
            "minMember": 1,
            "minResource": {"cpu": "1", "memory": "896Mi"},
            "nodeSelector": selector,
        },
        {
            "name": "spark-executor",
            "minMember": 4,
            "minResource": {"cpu": "2", "memory": "2867Mi"},
            "nodeSelector": selector,
            "tolerations": [{"key": "spot"}],
        },
    ]
    assert pod["metadata"]["labels"]["queue"] == "root.jobs"
    assert keys_of(spec)["spark.kubernetes.executor.annotation.yunikorn.apache.org/task-group-name"] == "spark-executor"
    assert convert(spec)[1] == ["spec.batchSchedulerOptions.priorityClassName"]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"driver.cores": "1"}, "spec.driver.cores"),
        ({"driver.cores": True}, "spec.driver.cores"),
        ({"sparkVersion": 3.5}, "spec.sparkVersion"),
        ({"sparkConf": {"spark.a": 1}}, 'spec.sparkConf["spark.a"]'),
        ({"driver.envVars": {"A": True}}, "spec.driver.envVars.A"),
        ({"arguments": ["a", 1]}, "spec.arguments[1]"),
        ({"arguments": "a"}, "spec.arguments"),
        ({"driver": []}, "spec.driver"),
        ({"driver.tolerations": {}}, "spec.driver.tolerations"),
        ({"driver.tolerations": ["a"]}, "spec.driver.tolerations[0]"),
        ({"driver.secrets": [{"name": "a"}]}, "spec.driver.secrets[0].path"),
        ({"driver.hostNetwork": "yes"}, "spec.driver.hostNetwork"),
        ({"type": "Rust"}, "spec.type"),
        ({"nodeSelector": {"a": "b"}, "driver.nodeSelector": {"c": "d"}}, "spec.driver.nodeSelector"),
        ({"sparkConf": {"spark.kubernetes.namespace": "other"}}, 'spec.sparkConf["spark.kubernetes.namespace"]'),
        ({"executor.volumeMounts": [{"name": "spark-local-dir-9"}]}, "spec.executor.volumeMounts[0].name"),
    ],
)
def test_what_the_operators_api_refuses_is_refused_with_its_path(spec: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecError) as refused:
        convert(spec)
    assert refused.value.field == path


def test_a_refusal_shows_no_value_that_may_be_a_secret() -> None:
    with pytest.raises(SpecError) as refused:
        convert({"driver.envVars": {"DB_PASSWORD": 4711}})
    assert "4711" not in str(refused.value)


def test_null_is_absent() -> None:
    assert convert(dict.fromkeys(("driver.labels", "deps", "volumes", "monitoring", "driver.gpu"))) == convert({})


def test_keys_that_spark_submit_drops_are_named() -> None:
    conf = {"hive.a": "b", "spark.kubernetes.driver.podTemplateFile": "/t.yaml", "spark.b": "c"}
    application, left = convert({"sparkConf": conf})
    assert left == ['spec.sparkConf["hive.a"]', 'spec.sparkConf["spark.kubernetes.driver.podTemplateFile"]']
    assert application.conf["spark.b"] == "c"


ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: spark}\n"


def test_other_objects_of_a_file_are_named() -> None:
    text = f"{ACCOUNT}---\n{yaml.safe_dump(SMALL)}---\n"
    application, left = custom_resource.read(text)
    assert application == convert({})[0]
    assert left == ["ServiceAccount spark"]


def test_a_list_is_read_as_its_items() -> None:
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(ACCOUNT), SMALL]})
    assert custom_resource.read(text)[0] == convert({})[0]


@pytest.mark.parametrize(
    "text", ["", "a", "[]", ACCOUNT, f"{ACCOUNT}---\n{ACCOUNT}", "\n---\n".join([yaml.safe_dump(SMALL)] * 2), "a: b: c"]
)
def test_a_file_without_exactly_one_resource_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        custom_resource.read(text)


def test_a_volume_that_is_mounted_twice_is_there_once() -> None:
    mounts = [{"name": "scratch", "mountPath": path} for path in ("/a", "/b")]
    pod = driver_of({"driver.volumeMounts": mounts})
    assert [volume["name"] for volume in pod["spec"]["volumes"]].count("scratch") == 1


def test_a_volumes_name_is_cut_where_no_dash_is() -> None:
    pod = driver_of({"driver.configMaps": [{"name": "a" * 49 + "." + "b" * 20, "path": "/x"}]})
    assert any(volume["name"].startswith("a" * 49 + "-") for volume in pod["spec"]["volumes"])
    assert not any("--" in volume["name"] for volume in pod["spec"]["volumes"])


def test_a_priority_class_replaces_a_templates_priority() -> None:
    spec = {"driver.template": {"spec": {"priority": 5}}, "driver.priorityClassName": "high"}
    assert "priority" not in driver_of(spec)["spec"]


def test_a_driver_in_somebodys_group_gets_none() -> None:
    annotations = {"scheduling.k8s.io/group-name": "theirs"}
    assert convert({"batchScheduler": "volcano", "driver.annotations": annotations})[0].driver.pod_group is None


def test_yunikorns_queue_stands_among_the_labels_of_a_task_group() -> None:
    spec = {"batchScheduler": "yunikorn", "batchSchedulerOptions": {"queue": "q"}, "driver.labels": {"a": "b"}}
    text = driver_of(spec)["metadata"]["annotations"]["yunikorn.apache.org/task-groups"]
    assert [group.get("labels") for group in json.loads(text)] == [{"a": "b", "queue": "q"}, None]


def test_keys_of_apaches_spark_conf_win_over_its_fields() -> None:
    conf = {**APACHE["spec"]["sparkConf"], "spark.jars": "local:///mine.jar", "spark.app.name": "mine"}
    application, _ = convert({"jars": "local:///job.jar,local:///b.jar", "sparkConf": conf}, APACHE)
    assert (application.name, application.dependencies.jars) == (None, ())
