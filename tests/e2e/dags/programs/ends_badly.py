"""Ends in the way that its argument names."""

import sys

from pyspark.sql import SparkSession

HUNDRED_MB = 100 * 2**20


def fill_heap(session):
    kept = session._jvm.java.util.ArrayList()
    while True:
        kept.add(session.sparkContext._gateway.new_array(session._jvm.long, HUNDRED_MB // 8))


def fill_worker(_):
    return sum(len(bytearray(b"x") * HUNDRED_MB) for _ in [bytearray(b"x" * HUNDRED_MB * 10)])


session = SparkSession.builder.getOrCreate()
match sys.argv[1:]:
    case ["heap"]:
        fill_heap(session)
    case ["executors"]:
        session.sparkContext.parallelize([1], 1).map(fill_worker).collect()
