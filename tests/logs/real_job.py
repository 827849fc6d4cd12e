"""What the drivers of the corpus ran, see `make_corpus`. It fails, and says so in several ways."""

import logging
import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger("orders")
spark = SparkSession.builder.appName("orders").getOrCreate()
print("an empty line follows", flush=True)
print(flush=True)
log.warning("orders are late")


@udf("int")
def checked(number: int) -> int:
    if number > 5:
        raise ValueError(f"order {number} has no price")
    return number


frame = spark.range(10)
try:
    frame.select(checked("id")).collect()
except Exception:
    log.exception("the orders could not be checked")
print("going on", flush=True)
frame.select("price").show()
