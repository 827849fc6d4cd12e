"""Raise an exception after a line of output."""

print("about to fail")
raise ValueError("the orders table is empty")
