"""The exit statuses that `launch` decides, and the error of bad use.

A script's own status (1..125, from `sys.exit`) is passed on as it is.
"""

EXCEPTION = 1
USAGE = 2
MISMATCH = 66
UNEVEN = 67
DEADLINE = 68
SILENT = 70
SIGNALLED = 128
INTERRUPTED = 130
TERMINATED = 143


class UsageError(Exception):
    """Bad use of the launcher; the text is one sentence for the user, the status is 2."""
