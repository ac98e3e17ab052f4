"""The tests; a package so that a suite can be shared by several files."""
