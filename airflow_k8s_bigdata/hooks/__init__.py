"""From an Airflow connection to access to a cluster. No verbs here: they are `kube.api`'s."""
