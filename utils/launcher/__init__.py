"""Running arrays of jobs: the command line (job.py), one module for each backend, and the report of what failed.

A backend is a subclass of AbsBackend (backend.py), which is named in `launch.py`'s BACKENDS. On other machines a job is
run_job.py, which finds what to do, and notes how it ended, in a folder that all machines share (spool.py).
"""
