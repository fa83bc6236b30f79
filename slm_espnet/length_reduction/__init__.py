"""Shortening the frame sequence: frames → fewer frames, before the adapter."""
