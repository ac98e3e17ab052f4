"""What is raised for a file that is not what it says."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A saved file that is broken, foreign or of a newer version; the message names the file."""
