"""Credentials and Hadoop: what the driver needs to be somebody to Kubernetes, Kerberos and Hadoop."""

from __future__ import annotations

from typing import Any

from airflow_k8s_bigdata.workloads.spark import keys, uris
from airflow_k8s_bigdata.workloads.spark.maps import config_map, secret
from airflow_k8s_bigdata.workloads.spark.settings import refuse
from airflow_k8s_bigdata.workloads.spark.submission import Draft, Submission

REDACTED = "<present_but_redacted>"
CREDENTIAL_FILES = {"caCertFile": "ca-cert", "clientKeyFile": "client-key", "clientCertFile": "client-cert"}
"""Files that the driver authenticates with, by the rest of their key: their names in the secret."""

_CREDENTIALS_DIR = "/mnt/secrets/spark-kubernetes-credentials"
_KEYTAB_DIR = "/mnt/secrets/kerberos-keytab"
_TOKENS_DIR = "/mnt/secrets/hadoop-credentials"


def credentials(submission: Submission, draft: Draft) -> None:
    """Spark's DriverKubernetesCredentialsFeatureStep."""
    settings, prefix = submission.settings, keys.DRIVER_CREDENTIALS
    data: dict[str, bytes] = {}
    mounted: dict[str, str] = {}
    token = settings.text(f"{prefix}oauthToken")
    if token is not None:
        data["oauth-token"] = token.encode()
        mounted["oauthTokenFile"] = "oauth-token"
    for name, entry in CREDENTIAL_FILES.items():
        path = settings.text(prefix + name)
        if path is not None:
            if uris.scheme(path):
                raise refuse(prefix + name, "must be a path: Spark knows no scheme here", path)
            data[entry] = uris.content(submission.contents, path, prefix + name)
            mounted[name] = entry
    draft.conf |= {key: REDACTED for key in draft.conf if key.endswith("oauthToken")}
    for name, entry in mounted.items():
        draft.conf.setdefault(f"{prefix}mounted.{name}", f"{_CREDENTIALS_DIR}/{entry}")
    if data:
        name = f"{submission.names.prefix}-kubernetes-credentials"
        draft.mount({"name": "kubernetes-credentials", "secret": {"secretName": name}}, _CREDENTIALS_DIR)
        draft.owned.append(secret(name, data))
        return
    account = settings.text(f"{prefix}serviceAccountName")
    if account is not None:
        draft.pod["spec"] |= {"serviceAccount": account, "serviceAccountName": account}


def hadoop(submission: Submission, draft: Draft) -> None:
    """Spark's HadoopConfDriverFeatureStep."""
    folder, name = submission.submitter.hadoop_conf_dir, submission.settings.text(keys.HADOOP_CONF_MAP)
    if folder and name is not None:
        raise refuse(keys.HADOOP_CONF_MAP, "cannot be set together with HADOOP_CONF_DIR (submitter.hadoop_conf_dir)")
    if not folder and name is None:
        return
    source: dict[str, Any] = {"name": name}
    if folder:
        files = uris.folder(submission.contents, folder)
        source = {"name": f"{submission.names.prefix}-hadoop-config"}
        if files:
            source["items"] = [{"key": file, "path": file} for file in files]
        texts = {file: uris.text(files, file, "submitter.hadoop_conf_dir") for file in files}
        draft.owned.append(config_map(source["name"], texts))
    draft.mount({"name": "hadoop-properties", "configMap": source}, keys.HADOOP_CONF_DIR)
    draft.add_env("HADOOP_CONF_DIR", keys.HADOOP_CONF_DIR)
    draft.conf["spark.kubernetes.executor.hadoopConfigMapName"] = str(source["name"])


def kerberos(submission: Submission, draft: Draft) -> None:
    """Spark's KerberosConfDriverFeatureStep, but for delegation tokens, which only a Hadoop client could fetch."""
    settings = submission.settings
    _require_both(submission, keys.KEYTAB, keys.PRINCIPAL)
    _require_both(submission, keys.TOKEN_SECRET_NAME, keys.TOKEN_SECRET_ITEM)
    _krb5(submission, draft)
    keytab = settings.text(keys.KEYTAB)
    token_secret = settings.text(keys.TOKEN_SECRET_NAME)
    if keytab is not None and uris.scheme(keytab) != "local":
        name, file = f"{submission.names.prefix}-kerberos-keytab", uris.file_name(keytab)
        draft.mount({"name": "kerberos-keytab", "secret": {"secretName": name}}, _KEYTAB_DIR)
        draft.owned.append(secret(name, {file: uris.content(submission.contents, keytab, keys.KEYTAB)}))
        draft.conf[keys.KEYTAB] = f"{_KEYTAB_DIR}/{file}"
    elif token_secret is not None:
        draft.mount({"name": "hadoop-secret", "secret": {"secretName": token_secret}}, _TOKENS_DIR)
        draft.add_env("HADOOP_TOKEN_FILE_LOCATION", f"{_TOKENS_DIR}/{settings.text(keys.TOKEN_SECRET_ITEM)}")


def _require_both(submission: Submission, first: str, second: str) -> None:
    given = [key for key in (first, second) if key in submission.settings]
    if len(given) == 1:
        missing = second if given[0] == first else first
        raise refuse(missing, f"must be set when {given[0]} is")


def _krb5(submission: Submission, draft: Draft) -> None:
    path, name = submission.settings.text(keys.KRB5_PATH), submission.settings.text(keys.KRB5_CONF_MAP)
    if path is not None and name is not None:
        raise refuse(keys.KRB5_CONF_MAP, f"cannot be set together with {keys.KRB5_PATH}")
    if path is None and name is None:
        return
    source: dict[str, Any] = {"name": name}
    if path is not None:
        file = uris.file_name(path)
        source = {"name": f"{submission.names.prefix}-krb5-file", "items": [{"key": file, "path": file}]}
        draft.owned.append(config_map(source["name"], {file: uris.text(submission.contents, path, keys.KRB5_PATH)}))
    draft.mount({"name": "krb5-file", "configMap": source}, "/etc/krb5.conf", subPath="krb5.conf")
