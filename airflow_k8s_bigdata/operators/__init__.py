"""The face towards DAG authors: operators that render, launch, wait or defer, and turn an outcome into a result.

What they do is written in `runs`; an operator holds the author's words and the handle, nothing else.
"""
