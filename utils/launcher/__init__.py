"""Running arrays of jobs: the command line (job.py), one module for each backend, and the report of what failed.

A backend is a class made with the value of --config, with `run(array: JobArray) -> list[JobResult]` and the names of
options that its configuration adds, `more_options`; it is named in `launch.py`'s BACKENDS. On other machines a job is
run_job.py, which finds what to do, and notes how it ended, in a folder that all machines share (spool.py).
"""
