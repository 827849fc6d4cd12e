"""Print numbered lines, count a range on the executors, print the count."""

import sys

from pyspark.sql import SparkSession

lines = int(sys.argv[1])
for number in range(lines):
    print(f"line {number} of {lines}", flush=number % 100 == 0)
spark = SparkSession.builder.getOrCreate()
count = spark.sparkContext.parallelize(range(1000), 4).map(lambda x: x * 2).count()
print(f"counted {count}")
spark.stop()
