"""Count flights and average their arrival delay per carrier and month.

Usage: delays_by_carrier.py FOLDER
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f


def main(folder: str) -> None:
    spark = SparkSession.builder.getOrCreate()
    flights = spark.read.parquet(f"file://{folder}/flights.parquet")
    delays = (
        flights.groupBy("carrier", "month")
        .agg(
            f.count("*").alias("flights"),
            f.count("arr_delay").alias("arrived"),
            f.round(f.avg("arr_delay"), 4).alias("mean_arrival_delay"),
        )
        .orderBy("carrier", "month")
    )
    delays.coalesce(1).write.mode("overwrite").json(f"file://{folder}/delays.json")
    print(f"{delays.count()} rows written to {folder}/delays.json")
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
