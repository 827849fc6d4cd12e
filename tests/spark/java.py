"""A Java virtual machine to ask, started once, by way of the gateway that pyspark brings along."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyspark
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway


@contextlib.contextmanager
def gateway(classpath: str = "") -> Iterator[JavaGateway]:
    """A running Java virtual machine.

    :param classpath: what it knows beside Java's own classes.
    """
    [jar] = (Path(pyspark.__file__).parent / "jars").glob("py4j-*.jar")
    # It lives as long as its standard input, which lives as long as the process object.
    port, process = launch_gateway(
        classpath=classpath or str(jar), jarpath=str(jar), die_on_exit=True, return_proc=True
    )
    running = JavaGateway(gateway_parameters=GatewayParameters(port=port, auto_convert=True))
    with process:
        try:
            yield running
        finally:
            running.shutdown()
            process.stdin.close()


@contextlib.contextmanager
def jvm() -> Iterator[Any]:
    """A running JVM's root of class names."""
    with gateway() as running:
        yield running.jvm


def load(java: Any, text: str) -> dict[str, str]:
    """What java.util.Properties reads."""
    properties = java.java.util.Properties()
    properties.load(java.java.io.StringReader(text))
    return {str(name): str(properties.getProperty(name)) for name in properties.stringPropertyNames()}


def store(java: Any, values: Mapping[str, str]) -> list[str]:
    """The lines that java.util.Properties writes, without its date."""
    properties = java.java.util.Properties()
    for name, value in values.items():
        properties.setProperty(name, value)
    writer = java.java.io.StringWriter()
    properties.store(writer, None)
    return sorted(str(writer.toString()).split("\n")[1:-1])


def double_text(java: Any, number: float) -> str:
    """What Double.toString writes."""
    return str(java.java.lang.Double.toString(number))
