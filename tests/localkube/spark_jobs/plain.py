"""A job of one stage that says which Spark ran it."""

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
total = spark.sparkContext.parallelize(range(100), 2).sum()
print(f"Spark {spark.version} counts {total}", flush=True)
spark.stop()
