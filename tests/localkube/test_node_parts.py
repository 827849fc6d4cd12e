"""The parts of the node that need no sandbox: environment, layout, volumes, images, scheduling rules, entry point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.localkube import addresses, environment, filters, layout, volumes
from airflow_k8s_bigdata.localkube.environment import MissingReference, PodFacts
from airflow_k8s_bigdata.localkube.images import (
    Image,
    ImageConfigError,
    ImageRules,
    InvalidImageName,
    NoSuchImage,
    check_reference,
)
from airflow_k8s_bigdata.localkube.layout import Mount
from airflow_k8s_bigdata.localkube.pythonfolders import editable_folders
from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.sparkimage import entrypoint
from airflow_k8s_bigdata.localkube.volumes import Content, MountProblem

FACTS = PodFacts("127.1.2.3", "127.0.0.1", 4, 8 << 30)
POD: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "jobs", "uid": "u", "labels": {"b": 'x"y', "a": "1"}},
    "spec": {},
}
EXECUTOR_ENV = {
    "SPARK_HOME": "/opt/spark",
    "JAVA_HOME": "/java",
    "SPARK_EXECUTOR_MEMORY": "600m",
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@127.1.1.1:7078",
    "SPARK_EXECUTOR_ID": "1",
    "SPARK_EXECUTOR_CORES": "2",
    "SPARK_APPLICATION_ID": "spark-1",
    "SPARK_EXECUTOR_POD_IP": "127.1.1.2",
    "SPARK_EXECUTOR_POD_NAME": "x-exec-1",
    "SPARK_CONF_DIR": "/opt/spark/conf",
    "SPARK_JAVA_OPT_10": "-Dlast",
    "SPARK_JAVA_OPT_9": "-Dfirst",
}


def variables(container: dict[str, Any], **objects: dict[str, Any]) -> dict[str, str]:
    return environment.container_variables(
        POD, container, facts=FACTS, lookup=lambda resource, name: objects.get(name), services={"SERVICE": "s"}
    )


# Environment


@pytest.mark.parametrize(
    ("text", "seen"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$$", "$"), ("$A $(", "$A $("), ("kill -9 $$", "kill -9 $")],
)
def test_references_expand_as_in_kubernetes(text: str, seen: str) -> None:
    assert environment.expand(text, {"A": "1"}) == seen


@given(st.text(alphabet=st.characters(exclude_characters="$")))
def test_text_without_dollar_stays_as_it_is(text: str) -> None:
    assert environment.expand(text, {"A": "1"}) == text


def test_later_variables_win_and_refer_to_earlier_ones() -> None:
    entries = [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}, {"name": "B", "value": "$(SERVICE)$(A)"}]
    assert variables({"env": entries}) == {"SERVICE": "s", "A": "12", "B": "s12"}


def test_all_keys_of_a_config_map_come_with_their_prefix() -> None:
    imported = {"envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}]}
    assert variables(imported, c={"kind": "ConfigMap", "data": {"k": "v"}})["P_k"] == "v"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "ghost", "key": "k"}}, 'secret "ghost" not found'),
        ({"configMapKeyRef": {"name": "ghost", "key": "k"}}, 'configmap "ghost" not found'),
        ({"configMapKeyRef": {"name": "c", "key": "k"}}, "couldn't find key k in ConfigMap jobs/c"),
        ({"fieldRef": {"fieldPath": "spec.ghost"}}, "unsupported fieldPath: spec.ghost"),
    ],
)
def test_missing_references_are_named(source: dict[str, Any], message: str) -> None:
    with pytest.raises(MissingReference, match=f"^{message}$"):
        variables({"env": [{"name": "A", "valueFrom": source}]}, c={"kind": "ConfigMap", "data": {}})


def test_optional_references_are_left_out_when_missing() -> None:
    source = {"secretKeyRef": {"name": "ghost", "key": "k", "optional": True}}
    assert variables({"env": [{"name": "A", "valueFrom": source}]}) == {"SERVICE": "s"}


@pytest.mark.parametrize(
    ("path", "value"),
    [("metadata.labels", 'a="1"\nb="x\\"y"'), ("metadata.labels['a']", "1"), ("status.podIP", "127.1.2.3")],
)
def test_downward_api_gives_the_pod_s_own_fields(path: str, value: str) -> None:
    assert environment.field_value(POD, FACTS, path) == value


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [("limits.memory", "1Mi", "64"), ("requests.memory", "1", "67108864"), ("limits.cpu", "1m", "4000")],
)
def test_resource_references_are_divided_and_fall_back_to_the_node(resource: str, divisor: str, value: str) -> None:
    container = {"resources": {"limits": {"memory": "64Mi"}}}
    assert environment.resource_value(container, FACTS, {"resource": resource, "divisor": divisor}) == value


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("500m", 0.5), ("1Ki", 1024), ("1.5G", 1.5e9), ("2e3", 2000)])
def test_quantities_are_numbers(text: str, number: float) -> None:
    assert parse_quantity(text) == number


@pytest.mark.parametrize("text", ["", "1 Gi", "Gi", "1g", "one", "1..2"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no Kubernetes quantity"):
        parse_quantity(text)


# Layout and volumes


def test_mount_below_a_read_only_folder_opens_it_up(tmp_path: Path) -> None:
    (tmp_path / "spark/bin").mkdir(parents=True)
    (tmp_path / "spark/link").symlink_to("bin")
    words = layout.arguments([Mount(tmp_path / "spark", "/opt/spark")], [Mount(tmp_path, "/opt/spark/conf")])
    assert ["--ro-bind", str(tmp_path / "spark/bin"), "/opt/spark/bin"] == words[-6:-3]
    assert "--symlink bin /opt/spark/link" in " ".join(words)
    assert str(tmp_path / "spark") not in words


def test_mount_on_an_existing_folder_leaves_the_rest_in_one_piece(tmp_path: Path) -> None:
    (tmp_path / "image/conf").mkdir(parents=True)
    words = layout.arguments([Mount(tmp_path / "image", "/image")], [Mount(tmp_path, "/image/conf")])
    assert words[-6:] == ["--ro-bind", f"{tmp_path}/image", "/image", "--ro-bind", str(tmp_path), "/image/conf"]


def test_mount_on_a_link_of_the_root_goes_where_the_link_leads() -> None:
    assert (layout.inside("/bin/tool"), layout.inside("/binary")) == ("/usr/bin/tool", "/binary")


@given(
    st.lists(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), min_size=1, max_size=8, unique=True
    )
)
def test_a_mount_point_always_comes_after_the_mount_it_lies_in(targets: list[str]) -> None:
    words = layout.arguments([], [Mount(Path("/usr"), f"/{target}", writable=True) for target in targets])
    order = [word for flag, word in zip(words, words[2:], strict=False) if flag == "--bind"]
    assert all(not outer.startswith(f"{inner}/") for i, outer in enumerate(order) for inner in order[i:])
    assert sorted(order) == sorted(f"/{target}" for target in targets)


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ""])
def test_volume_file_that_would_leave_its_folder_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(MountProblem):
        volumes.replace_files(tmp_path, {path: Content(b"", 0o644)})
    assert not list(tmp_path.parent.glob("x"))


@pytest.mark.parametrize("path", ["../x", "/etc", "out/passwd"])
def test_sub_path_that_would_leave_its_volume_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "out").symlink_to("/etc")
    with pytest.raises(MountProblem, match="subPath"):
        volumes.sub_path(tmp_path, path)


def test_mount_path_with_dots_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must not contain '\.\.'"):
        layout.inside("/data/../etc")


def test_files_of_a_volume_are_replaced_all_at_once(tmp_path: Path) -> None:
    volumes.replace_files(tmp_path, {"a": Content(b"1", 0o644), "d/b": Content(b"2", 0o400)})
    volumes.replace_files(tmp_path, {"d/b": Content(b"3", 0o400)})
    assert sorted(entry.name for entry in tmp_path.iterdir() if not entry.name.startswith("..")) == ["d"]
    assert ((tmp_path / "d/b").read_bytes(), (tmp_path / "d/b").stat().st_mode & 0o777) == (b"3", 0o400)


# Images


@pytest.mark.parametrize(
    "reference", ["busybox", "docker.io/library/busybox:1.36", "alpine", "registry:5000/x/debian:12"]
)
def test_small_images_are_the_host_s_programs(reference: str) -> None:
    assert ImageRules().image(reference).command == ("sh",)


def test_image_without_a_rule_can_t_be_pulled() -> None:
    with pytest.raises(NoSuchImage, match=r'failed to pull and unpack image "team/etl:1".*no image rule matches it'):
        ImageRules().image("team/etl:1")


@pytest.mark.parametrize("reference", ["Bad//Image", "UPPER", "a b", "", "x:", "repo/Name:1", "a//b"])
def test_names_that_no_registry_could_serve_are_invalid(reference: str) -> None:
    with pytest.raises(InvalidImageName, match="invalid reference format"):
        check_reference(reference)


@pytest.mark.parametrize(
    "reference", ["a", "a/b/c:1.0-x", "host:5000/a", "Host.example/a", "a@sha256:" + "0" * 64, "localhost/a__b"]
)
def test_names_that_a_registry_could_serve_are_valid(reference: str) -> None:
    check_reference(reference)


def test_rules_of_the_user_come_first(tmp_path: Path) -> None:
    config = tmp_path / "images.yaml"
    config.write_text(f'images: [{{match: "team/*spark*", binds: {{/opt/team: {tmp_path}}}, command: [run]}}]')
    assert ImageRules(config).image("team/myspark:1") == Image(
        "team/myspark:1",
        binds={"/opt/team": tmp_path},
        env={"PATH": ImageRules().image("busybox").env["PATH"]},
        command=("run",),
    )


def test_tag_picks_the_spark_of_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALKUBE_SPARK_HOMES", f"3.5.9={tmp_path}")
    rules = ImageRules()
    assert rules.spark_home("apache/spark:3.5.9-python3") == str(tmp_path)
    assert rules.spark_home("apache/spark:4.3.0").endswith("/pyspark")


def test_sources_of_packages_that_are_installed_as_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "site/linked-1.dist-info").mkdir(parents=True)
    for name in ("named", "two words", "other"):
        (tmp_path / name).mkdir()
    origin = {"url": (tmp_path / "two words").as_uri(), "dir_info": {"editable": True}}
    (tmp_path / "site/linked-1.dist-info/direct_url.json").write_text(json.dumps(origin))
    (tmp_path / "site/a.pth").write_text(f"import os\n# {tmp_path}/other\n../named\n{tmp_path}/missing\n")
    assert editable_folders([f"{tmp_path}/site"]) == {tmp_path / "named", tmp_path / "two words"}


def test_spark_of_another_version_than_the_tag_s_is_told(caplog: pytest.LogCaptureFixture) -> None:
    ImageRules().spark_home("apache/spark:1.2.3")
    assert "image apache/spark:1.2.3 runs the installed Spark" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must be a mapping"),
        ("images: [{base: spark}]", r"images\[0\] needs `match`"),
        ("images: [{match: x, base: vm}]", "base is 'vm', not one of host, python, spark"),
        ("images: [", "can't be read"),
    ],
)
def test_wrong_image_configuration_names_file_and_field(tmp_path: Path, text: str, message: str) -> None:
    config = tmp_path / "images.yaml"
    config.write_text(text)
    with pytest.raises(ImageConfigError, match=f"{config}.*{message}"):
        ImageRules(config)


# Addresses


def test_addresses_are_loopback_and_come_back_late() -> None:
    given_out = addresses.Addresses("https://127.0.0.1:6443")
    first = given_out.take()
    given_out.give_back(first)
    others = [given_out.take() for _ in range(1000)]
    assert first not in others
    assert len(set(others)) == 1000
    assert all(address.startswith("127.") for address in others)


def test_service_resolves_to_its_ready_pods_only() -> None:
    service = {"metadata": {"name": "s", "namespace": "n"}, "spec": {"selector": {"app": "a"}}}
    ready = {"phase": "Running", "podIP": "127.1.1.1", "conditions": [{"type": "Ready", "status": "True"}]}
    pods = [
        {"metadata": {"namespace": "n", "labels": labels}, "status": status}
        for labels, status in (
            ({"app": "a"}, ready),
            ({"app": "b"}, ready | {"podIP": "127.1.1.2"}),
            ({"app": "a"}, ready | {"podIP": "127.1.1.3", "conditions": []}),
            ({"app": "a"}, ready | {"podIP": "127.1.1.4", "phase": "Succeeded"}),
        )
    ]
    assert addresses.cluster_lines([service], pods) == ["127.1.1.1\ts.n.svc s.n.svc.cluster.local s.n"]


# Scheduling rules


def test_pod_asks_for_its_containers_and_sidecars_or_its_largest_init_container() -> None:
    spec = {
        "containers": [{"resources": {"requests": {"cpu": "1"}}}, {"resources": {"limits": {"cpu": "500m"}}}],
        "initContainers": [
            {"resources": {"requests": {"cpu": "3"}}},
            {"restartPolicy": "Always", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}},
        ],
    }
    assert filters.pod_requests({"spec": spec}) == {"cpu": 3, "memory": 1 << 30, "pods": 1}


@pytest.mark.parametrize(
    ("toleration", "covers"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "k", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "w"}, False),
    ],
)
def test_tolerations_cover_taints(toleration: dict[str, Any], covers: bool) -> None:
    assert filters.tolerates(toleration, {"key": "k", "value": "v", "effect": "NoSchedule"}) is covers


# Spark's entry point


def test_executor_command_has_options_in_order_and_the_pod_s_address() -> None:
    command = entrypoint.command(["executor"], EXECUTOR_ENV)
    assert command[:5] == ["/java/bin/java", "-Dfirst", "-Dlast", "-Xms600m", "-Xmx600m"]
    assert command[command.index("--hostname") + 1] == "127.1.1.2"
    assert command[command.index("-cp") + 1] == "/opt/spark/conf:/opt/spark/jars/*"
    assert command[command.index("--resourceProfileId") + 1] == "0"


def test_driver_is_submitted_in_client_mode_and_told_the_api_server() -> None:
    env = {"SPARK_HOME": "/s", "SPARK_DRIVER_BIND_ADDRESS": "127.1.1.1"}
    env |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert entrypoint.command(["driver", "--class", "M", "local:///x.jar"], env) == [
        "/s/bin/spark-submit",
        "--conf", "spark.driver.bindAddress=127.1.1.1",
        "--conf", "spark.executorEnv.SPARK_DRIVER_POD_IP=127.1.1.1",
        "--conf", "spark.kubernetes.driver.master=https://127.0.0.1:6443",
        "--deploy-mode", "client", "--class", "M", "local:///x.jar",
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["spark.kubernetes.driver.master=https\\://x", "  spark.kubernetes.driver.master x"])
def test_master_of_the_properties_file_is_left_alone(tmp_path: Path, line: str) -> None:
    (tmp_path / "p").write_text(f"spark.app.name=x\n{line}\n")
    assert entrypoint.sets_master(["driver", "--properties-file", str(tmp_path / "p")])
    assert not entrypoint.sets_master(["driver", "--conf", "spark.app.name=x"])


def test_other_commands_run_as_they_are() -> None:
    assert entrypoint.command(["bash", "-c", "x"], {}) == ["bash", "-c", "x"]
