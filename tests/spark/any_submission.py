"""Command lines of spark-submit as nobody would think of them: options, keys and values, right ones and odd ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st

from tests.spark import spark_oracle as oracle

Strategy = st.SearchStrategy[str]


@dataclass(frozen=True)
class AnySubmission:
    """One command line, and the files that it names by `{dir}/...`.

    :param options: words in front of the application.
    :param application: the main file and its arguments.
    """

    options: tuple[str, ...]
    application: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)

    def words(self, folder: Path) -> list[str]:
        """The words after spark-submit."""
        mine = (word.replace("{dir}", str(folder)) for word in (*self.options, *self.application))
        return [*oracle.GIVEN, *mine]


def words(*fixed: str, more: Strategy | None = None) -> Strategy:
    return st.sampled_from(fixed) if more is None else st.one_of(st.sampled_from(fixed), more)


# Values

# What no process can be given, or what a line of a log can't show, is no case.
_PRINTABLE = st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co"))
TEXT = st.text(_PRINTABLE, max_size=12)
NAMES = words("a", "etl", "my-name", "a.b", "x1", "Upper", "under_score", "-a", "a-", "9", "", "a" * 63, "a" * 64)
VALUES = words(
    *("", "v", "two words", "a=b", "a,b", " blanks ", "{{APP_ID}}-x", "{{EXECUTOR_ID}}", "{{SPARK_VERSION}}"),
    *(
        "${spark.executor.cores}",
        "${spark.nope}",
        "$(HOME)",
        "\\",
        "'",
        '"',
        "#x",
    ),
    *("é", "日本", "😀", "a:b", "%s", "true", "null", "1"),
    more=TEXT,
)
SIZES = words(
    *(
        "1g",
        "512m",
        "512",
        "2048k",
        "1t",
        "1gb",
        "2G",
        "3Mb",
        "1073741824b",
        "0",
        "384",
        "385m",
        "1p",
        "  1g ",
        "1023k",
    ),
    *("", "-1", "1.5g", "1gib", "2MiB", "1bib", "1x", "g", "0.5", "1 g", "1e3", "99999999999999999999"),
    more=st.from_regex(r"[0-9]{1,5}(|k|m|g|mb|kb)", fullmatch=True),
)
WHOLE = words("1", "2", "0", "7", "+3", "-1", "", " 4 ", "1.0", "1.5", "x", "2147483648", "٣")
NUMBERS = words(
    *(
        "0.1",
        "0.4",
        "0",
        "1",
        "2.5",
        ".3",
        "5.",
        "1e-3",
        "1E2",
        "0.30000000000000004",
        "100000000",
        "1e-4",
        "-0.1",
        "0.0",
    ),
    *("", "x", "1f", "2d", "0x1p3", " 0.2 ", "-0.0", "1_0", "inf"),
)
FLAGS = words("true", "false", "TRUE", " False ", "yes", "", "1")
PORTS = words("${spark.my.port}", "4041", "7078", "65535", "65536", "1", "0", "-1", "x", "", " 5000 ")
QUANTITIES = words("1", "2", "0.5", "500m", "1.5", "2k", "1e3", "0", "", "1 ", "x", "-1", "1Gi", "100m")
FOLDERS = words("/mnt/a", "/mnt/b", "/mnt/a/", "/", "relative", "", "/with blank", "/mnt/../x", "/${spark.app.name}")
IMAGES = words("x:1", "registry.example/spark:4.0.5", "other", "x:{{SPARK_VERSION}}", "${spark.my.image}", "", " x:1 ")
JARS = words(
    "local:///a.jar",
    "https://h.example/b.jar",
    "local:///a.jar,local:///b.jar",
    " local:///c.jar",
    "",
    ",",
    "{dir}/job.jar",
)
FILES = words(
    "local:///etc/a.conf",
    "https://h.example/a.conf",
    "{dir}/note.txt",
    "file://{dir}/note.txt",
    "/absent/x",
    "a.conf#b",
    "",
)
PY_FILES = words(
    "local:///a.zip", "local:///a.py,https://h.example/b.egg", "{dir}/lib.zip", "{dir}/job.py", "/absent/x.zip", ""
)
ARCHIVES = words("local:///env.tgz#env", "https://h.example/e.zip", "{dir}/lib.zip#l", "")
UPLOADS = words("file://{dir}/up", "file://{dir}/up/", "{dir}/up", "local:///up")
TEMPLATES = words(
    "{dir}/pod.yaml", "{dir}/bare.yaml", "{dir}/broken.yaml", "/absent/pod.yaml", "file://{dir}/pod.yaml", ""
)

# Keys

KEYS: dict[str, Strategy] = {
    "spark.app.name": VALUES,
    "spark.app.id": NAMES,
    "spark.my.image": IMAGES,
    "spark.my.port": words("4042"),
    "spark.driver.memory": SIZES,
    "spark.driver.memoryOverhead": SIZES,
    "spark.driver.minMemoryOverhead": SIZES,
    "spark.driver.memoryOverheadFactor": NUMBERS,
    "spark.kubernetes.memoryOverheadFactor": NUMBERS,
    "spark.driver.cores": WHOLE,
    "spark.cores.max": WHOLE,
    "spark.executor.memory": SIZES,
    "spark.executor.memoryOverhead": SIZES,
    "spark.executor.cores": WHOLE,
    "spark.executor.instances": WHOLE,
    "spark.dynamicAllocation.enabled": FLAGS,
    "spark.driver.extraClassPath": VALUES,
    "spark.driver.extraLibraryPath": VALUES,
    "spark.driver.extraJavaOptions": words("-Dx=y", "-Dspark.x=1", '-Da="b c"', "{{APP_ID}}", more=TEXT),
    "spark.executor.extraJavaOptions": words("-Dx=y", "-Xmx1g", "{{EXECUTOR_ID}}"),
    "spark.driver.port": PORTS,
    "spark.driver.blockManager.port": PORTS,
    "spark.blockManager.port": PORTS,
    "spark.ui.port": PORTS,
    "spark.connect.grpc.binding.port": PORTS,
    "spark.driver.host": NAMES,
    "spark.driver.bindAddress": NAMES,
    "spark.local.dir": words("/a", "/a,/b", "/a, /b", "", ",", "relative", "/a,/a"),
    "spark.jars": JARS,
    "spark.files": FILES,
    "spark.archives": ARCHIVES,
    "spark.submit.pyFiles": PY_FILES,
    "spark.submit.deployMode": words("cluster", "client", "x"),
    "spark.pyspark.python": VALUES,
    "spark.pyspark.driver.python": VALUES,
    "spark.kubernetes.namespace": words("etl", "spark", "Upper", "", "a.b"),
    "spark.kubernetes.context": words("", "minikube"),
    "spark.kubernetes.container.image": IMAGES,
    "spark.kubernetes.driver.container.image": IMAGES,
    "spark.kubernetes.executor.container.image": IMAGES,
    "spark.kubernetes.container.image.pullPolicy": words("Always", "Never", "IfNotPresent", "always", ""),
    "spark.kubernetes.container.image.pullSecrets": words("a", "a,b", " a , b ", "", ",", "Not Valid"),
    "spark.kubernetes.driver.pod.name": NAMES,
    "spark.kubernetes.driver.request.cores": QUANTITIES,
    "spark.kubernetes.driver.limit.cores": QUANTITIES,
    "spark.kubernetes.executor.request.cores": QUANTITIES,
    "spark.kubernetes.executor.limit.cores": QUANTITIES,
    "spark.kubernetes.executor.podNamePrefix": words("pre", "Upper", "", "a" * 60, "9a", "a.b", "-a"),
    "spark.kubernetes.executor.deleteOnTermination": FLAGS,
    "spark.kubernetes.driver.scheduler.name": NAMES,
    "spark.kubernetes.scheduler.name": NAMES,
    "spark.kubernetes.driver.podTemplateFile": TEMPLATES,
    "spark.kubernetes.driver.podTemplateContainerName": words("main", "side", "absent", ""),
    "spark.kubernetes.executor.podTemplateFile": TEMPLATES,
    "spark.kubernetes.executor.podTemplateContainerName": words("main", "absent"),
    "spark.kubernetes.driver.service.ipFamilyPolicy": words("SingleStack", "PreferDualStack", "x", ""),
    "spark.kubernetes.driver.service.ipFamilies": words("IPv4", "IPv6", "IPv4,IPv6", "IPv4, IPv6", "x", ""),
    "spark.kubernetes.driver.service.publishNotReadyAddresses": FLAGS,
    "spark.kubernetes.driver.service.deleteOnTermination": FLAGS,
    "spark.kubernetes.driver.securityContext.allowPrivilegeEscalation": FLAGS,
    "spark.kubernetes.securityContext.allowPrivilegeEscalation": FLAGS,
    "spark.kubernetes.local.dirs.tmpfs": FLAGS,
    "spark.kubernetes.hadoop.configMapName": words("a", "etl", ""),
    "spark.kubernetes.kerberos.krb5.path": words("{dir}/krb5.conf", "/absent/krb5.conf", ""),
    "spark.kubernetes.kerberos.krb5.configMapName": words("a", "krb5", ""),
    "spark.kubernetes.kerberos.tokenSecret.name": words("a", "tokens"),
    "spark.kubernetes.kerberos.tokenSecret.itemKey": NAMES,
    "spark.kubernetes.file.upload.path": UPLOADS,
    "spark.kubernetes.configMap.maxSize": words("1048576", "10", "0", "-1", "1k", ""),
    "spark.kubernetes.legacy.useReadWriteOnceAccessMode": FLAGS,
    "spark.kubernetes.resource.type": words("java", "python", "x"),
    "spark.kubernetes.driver.resourceNamePrefix": NAMES,
    "spark.kubernetes.authenticate.driver.serviceAccountName": NAMES,
    "spark.kubernetes.authenticate.executor.serviceAccountName": NAMES,
    "spark.kubernetes.authenticate.serviceAccountName": NAMES,
    "spark.kubernetes.authenticate.driver.oauthToken": words("abc", ""),
    "spark.kubernetes.authenticate.driver.oauthTokenFile": words("/x/token", ""),
    "spark.kubernetes.authenticate.driver.caCertFile": words("{dir}/note.txt", "/absent/ca", "file://{dir}/note.txt"),
    "spark.kubernetes.authenticate.driver.mounted.caCertFile": words("/x/ca"),
    "spark.kubernetes.driver.pod.featureSteps": words("", "com.example.Step"),
    "spark.kubernetes.driver.pod.excludedFeatureSteps": words(
        "org.apache.spark.deploy.k8s.features.DriverServiceFeatureStep",
        "org.apache.spark.deploy.k8s.features.LocalDirsFeatureStep,org.apache.spark.deploy.k8s.features.EnvSecretsFeatureStep",
        "org.apache.spark.deploy.k8s.features.BasicDriverFeatureStep",
        "Unknown",
    ),
    "spark.driver.resource.gpu.amount": WHOLE,
    "spark.driver.resource.gpu.vendor": words("nvidia.com", "amd.com", ""),
    "spark.driver.resource.gpu.discoveryScript": words("/x.sh"),
    "spark.driver.resource.fpga.amount": WHOLE,
    "spark.executor.resource.gpu.amount": WHOLE,
    "spark.redaction.regex": words("(?i)x", "("),
    "spark.kubernetes.driver.master": words("https://kubernetes.default.svc", ""),
    "spark.kubernetes.driver.label": VALUES,
    "spark.unknown": VALUES,
    "not.spark": VALUES,
}
"""Keys, and what is set for them."""

PREFIXES: dict[str, tuple[Strategy, Strategy]] = {
    "spark.kubernetes.driver.label.": (words("team", "a.example/b", "spark-role", "dag_id", "bad key", "-x"), VALUES),
    "spark.kubernetes.driver.annotation.": (words("note", "a.example/B", "UPPER", "bad key"), VALUES),
    "spark.kubernetes.driver.service.label.": (words("team", "spark-app-selector"), VALUES),
    "spark.kubernetes.driver.service.annotation.": (words("note", "a.example/b"), VALUES),
    "spark.kubernetes.executor.label.": (words("team", "spark-role"), VALUES),
    "spark.kubernetes.node.selector.": (words("zone", "disk"), VALUES),
    "spark.kubernetes.driver.node.selector.": (words("zone", "arch"), VALUES),
    "spark.kubernetes.driverEnv.": (
        words("A", "SPARK_USER", "PYSPARK_PYTHON", "with.dot", "1A", "SPARK_LOCAL_DIRS"),
        VALUES,
    ),
    "spark.executorEnv.": (words("A", "SPARK_USER"), VALUES),
    "spark.kubernetes.driver.secrets.": (words("aws", "Upper", "a.b"), FOLDERS),
    "spark.kubernetes.driver.secretKeyRef.": (words("KEY", "A"), words("aws:id", "aws", "a:b:c", "", ":", "a:")),
    "spark.hadoop.": (words("fs.s3a.endpoint", "x"), VALUES),
}
"""Keys whose end anybody may choose: the ends, and what is set for them."""

VOLUME_OPTIONS: dict[str, Strategy] = {
    "mount.path": FOLDERS,
    "mount.readOnly": FLAGS,
    "mount.subPath": words("sub", "", "/abs", "../x"),
    "mount.subPathExpr": words("$(A)", ""),
    "options.path": FOLDERS,
    "options.server": words("nfs.example"),
    "options.type": words("", "Directory", "x"),
    "options.claimName": words("mine", "OnDemand", "x-OnDemand"),
    "options.storageClass": words("gp3", ""),
    "options.sizeLimit": words("1Gi", "500", "1024", "", "x", "1g"),
    "options.medium": words("Memory", "", "x"),
    "label.team": VALUES,
    "annotation.note": VALUES,
    "other": VALUES,
}

OPTIONS: dict[str, Strategy] = {
    "--name": VALUES,
    "--driver-memory": SIZES,
    "--driver-cores": WHOLE,
    "--driver-class-path": VALUES,
    "--driver-java-options": words("-Dx=y", "-Dspark.x=1"),
    "--driver-library-path": VALUES,
    "--executor-memory": SIZES,
    "--executor-cores": WHOLE,
    "--num-executors": WHOLE,
    "--jars": JARS,
    "--files": FILES,
    "--archives": ARCHIVES,
    "--py-files": PY_FILES,
    "--class": words("com.example.Job", "Job"),
    "--queue": VALUES,
    "--total-executor-cores": WHOLE,
    "--proxy-user": words("alice", ""),
    "--principal": words("me@EXAMPLE", ""),
    "--keytab": words("{dir}/note.txt", "/absent/keytab", "local:///keytab"),
    "--properties-file": words("{dir}/job.conf", "/absent/job.conf"),
}
SWITCHES = words("--verbose", "-v", "--supervise", "--load-spark-defaults", "--unknown")

FILE_TEXTS: dict[str, Strategy] = {
    "job.jar": words("PK"),
    "job.py": words("print(1)"),
    "lib.zip": words("PK"),
    "note.txt": words("note", "é\n"),
    "krb5.conf": words("[libdefaults]\n"),
    "job.conf": words(
        "spark.driver.memory 2g\n",
        "spark.driver.memory=3g\nspark.app.name:  by file \n! no\n#no\n",
        "spark.driver.cores   2  \nspark.x=a\\\n  b\nnot.spark 1\n",
        "spark.kubernetes.driver.label.team=\\u00e9\nspark.executor.instances\n",
        "",
    ),
    "pod.yaml": words(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {team: x, spark-role: y}\nspec:\n  containers:\n"
        "  - name: side\n    image: s\n  - name: main\n    image: m\n    args: [a]\n    env: [{name: A, value: t}]\n",
        "metadata:\n  name: mine\n  namespace: other\n  annotations: {a: b}\nspec:\n  restartPolicy: Always\n"
        "  nodeSelector: {zone: t}\n  tolerations: [{key: k, operator: Exists}]\n  serviceAccountName: t\n"
        "  volumes: [{name: v, emptyDir: {}}]\n  imagePullSecrets: [{name: t}]\n  schedulerName: t\n"
        "  containers: [{name: c, resources: {requests: {cpu: 4, memory: 1Gi}, limits: {x.example/y: 1}}}]\n",
        "spec:\n  containers:\n  - name: main\n    securityContext: {runAsUser: 1}\n"
        "    ports: [{name: p, containerPort: 1}]\n    volumeMounts: [{name: spark-local-dir-1, mountPath: /t}]\n"
        "  volumes: [{name: spark-local-dir-1, emptyDir: {}}]\n"
        "  initContainers: [{name: i, image: i}]\n  securityContext: {fsGroup: 5}\n",
    ),
    "bare.yaml": words("spec: {}\n", "{}\n", "", "metadata: {labels: {a: b}}\n", "spec: {containers: []}\n"),
    "broken.yaml": words("spec: [\n", "- a\n", "spec: {unknownField: 1, containers: [{name: a}]}\n"),
}

MAIN = words(
    *("local:///a.py", "local:///a.jar", "{dir}/job.py", "{dir}/job.jar", "https://h.example/a.py", "local:///a.R"),
    *("spark-internal", "/absent/a.py", "local:///noext", "a.sql", ""),
)


# Command lines


@st.composite
def _volume(draw: st.DrawFn) -> list[tuple[str, str]]:
    who = draw(words("driver", "driver", "driver", "executor"))
    kind = draw(words("hostPath", "emptyDir", "persistentVolumeClaim", "nfs", "floppy"))
    name = draw(words("data", "logs", "spark-local-dir-1", "Upper"))
    mine = {
        "hostPath": ["options.path"],
        "nfs": ["options.path", "options.server"],
        "persistentVolumeClaim": ["options.claimName"],
    }
    chosen = draw(st.lists(st.sampled_from(list(VOLUME_OPTIONS)), max_size=4, unique=True))
    needed = ["mount.path", *mine.get(kind, [])] if draw(st.integers(0, 9)) else []
    start = f"spark.kubernetes.{who}.volumes.{kind}.{name}."
    return [(start + option, draw(VOLUME_OPTIONS[option])) for option in dict.fromkeys([*needed, *chosen])]


@st.composite
def _setting(draw: st.DrawFn) -> list[tuple[str, str]]:
    kind = draw(st.integers(0, 9))
    if kind < 6:
        key = draw(st.sampled_from(list(KEYS)))
        return [(key, draw(KEYS[key]))]
    if kind < 8:
        prefix = draw(st.sampled_from(list(PREFIXES)))
        ends, values = PREFIXES[prefix]
        return [(prefix + draw(ends), draw(values))]
    return draw(_volume())


@st.composite
def _words(draw: st.DrawFn) -> list[str]:
    kind = draw(st.integers(0, 19))
    if kind < 14:
        return [word for key, value in draw(_setting()) for word in ("--conf", f"{key}={value}")]
    if kind == 14:
        return [draw(SWITCHES)]
    option = draw(st.sampled_from(list(OPTIONS)))
    value = draw(OPTIONS[option])
    return [f"{option}={value}"] if kind == 15 else [option, value]


@st.composite
def any_submission(draw: st.DrawFn) -> AnySubmission:
    """A command line. Most name an image, as without one nothing is told."""
    image = ["--conf", "spark.kubernetes.container.image=x:1"] if draw(st.integers(0, 19)) else []
    parts = draw(st.lists(_words(), max_size=6))
    options = [*image, *(word for part in parts for word in part)]
    main = draw(MAIN)
    if main.endswith((".jar", "spark-internal", "noext")) and "--class" not in options and draw(st.integers(0, 9)):
        options += ["--class", "com.example.Job"]
    application = [main, *draw(st.lists(VALUES, max_size=3))]
    text = "\0".join([*options, *application])
    files = {name: draw(texts) for name, texts in FILE_TEXTS.items() if f"{{dir}}/{name}" in text}
    return AnySubmission(tuple(options), tuple(application), files)
