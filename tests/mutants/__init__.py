"""Mutants: one small change at a time to a line that decides, and the fast tests that should notice.

`python -m tests.mutants` (or `make mutants`) changes the modules of `targets.TARGETS` one expression at a time and runs
the unit tests that reach the changed line. All tests are collected once; each mutant is put into the loaded module in a
forked child, so that one costs what its tests cost. A mutant that no test notices is a promise that nothing keeps, or
an entry of `accepted.toml` that says why the change makes no difference to anybody.
"""
