"""Running arrays of jobs: the command line (job.py), one module for each backend, and the report of what failed.

A backend is a class with `run(array: JobArray) -> list[JobResult]`; it is named in `launch.py`'s BACKENDS.
"""
