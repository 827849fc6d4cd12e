"""Figures that the documentation states, measured again by anyone: `python -m tests.benchmarks NAME [--json]`."""
