"""A real spark-submit to ask again and again: its classes in one Java virtual machine, its requests noted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JJavaError

from tests.spark import recorder
from tests.spark import spark_oracle as oracle
from tests.spark.java import gateway


class SparkSubmit:
    """spark-submit of one Spark, in cluster mode, against a server that agrees to everything.

    :param gateway: to a virtual machine with that Spark's jars.
    :param address: of the server.
    """

    def __init__(self, gateway: JavaGateway, address: str) -> None:
        self._gateway = gateway
        self._java = gateway.jvm
        self._address = address
        self._loader = self._java.Thread.currentThread().getContextClassLoader()

    @property
    def version(self) -> str:
        """Spark's."""
        return str(self._java.org.apache.spark.package.SPARK_VERSION())

    def run(self, words: Sequence[str]) -> list[oracle.Object] | str:
        """The objects that it sent, each with its namespace; or why it refused."""
        recorder.sent().clear()
        words = [word.replace(oracle.MASTER, f"k8s://{self._address}") for word in words]
        given = self._gateway.new_array(self._java.String, len(words))
        for number, word in enumerate(words):
            given[number] = word
        try:
            self._java.org.apache.spark.deploy.InProcessSparkSubmit.main(given)
        except Py4JJavaError as error:
            return str(error.java_exception.toString())
        finally:
            self._forget()
        return oracle.recorded_objects({"requests": recorder.sent()})

    def _forget(self) -> None:
        """What a run leaves in a virtual machine that the next one would read."""
        self._java.Thread.currentThread().setContextClassLoader(self._loader)
        properties = self._java.System.getProperties()
        for name in list(properties.stringPropertyNames()):
            if name.startswith("spark."):
                properties.remove(name)


@contextlib.contextmanager
def spark_submit(jars: Path) -> Iterator[SparkSubmit]:
    """A spark-submit with the classes of these jars, started by a user called airflow."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "HADOOP_", "PYSPARK_"))}
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(mine, SPARK_USER="airflow")
    try:
        with recorder.server() as address, gateway(f"{jars}/*") as running:
            yield SparkSubmit(running, address)
    finally:
        os.environ.clear()
        os.environ.update(before)
