"""Tests of the launcher: what it decides, and what real jobs do when a rank fails."""
