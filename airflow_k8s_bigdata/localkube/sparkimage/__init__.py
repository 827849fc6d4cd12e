"""The entry point that stands in for that of Apache Spark's container image; it runs inside the sandbox only.

It imports nothing but the standard library and nothing of this package, because the sandbox has no other.
"""
