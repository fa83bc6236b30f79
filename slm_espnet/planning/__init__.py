"""What a foundation needs before any of it is downloaded: parameters and memory, from configurations alone."""
