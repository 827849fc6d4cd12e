"""Custom resources of Spark's operators as applications of ours: what an operator makes of each field.

`fields` reads a resource by its schema, `kubeflow` and `apache` say what each operator does, `pods` what Kubeflow's
webhook adds to the pods, `batch` what its batch schedulers need.
"""
