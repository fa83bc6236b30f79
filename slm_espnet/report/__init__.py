"""The report page: an experiment, or several side by side, as one HTML file that needs nothing else."""
