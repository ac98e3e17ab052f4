"""The memory of freed arrays is used again, unless the user says otherwise."""

import os
import platform
import subprocess
import sys

import pytest

from core.kernels import heap

# 40 arrays of 1 MB, freed together, eight times: how many pages were new after the first time?
SCRIPT = """
import resource
import numpy
import core

def arrays():
    return [numpy.ones(1 << 18, "float32") for _ in range(40)]

kept = arrays()
del kept
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    kept = arrays()
    del kept
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
ONCE = 40 * (1 << 20) // 4096


def new_pages(**variables):
    known = {k: v for k, v in os.environ.items() if k not in heap.CHOSEN}
    environment = known | {"UNISON_KEEP_MEMORY": "1"} | variables
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    return int(run.stdout)


glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")


@glibc
def test_freed_memory_is_used_again():
    assert new_pages() < ONCE // 10


@glibc
@pytest.mark.parametrize(
    "variables", [{"UNISON_KEEP_MEMORY": "0"}, {"MALLOC_TRIM_THRESHOLD_": "131072"}]
)
def test_a_users_word_leaves_the_c_library_alone(variables):
    assert new_pages(**variables) > 4 * ONCE


def test_another_c_library_is_left_alone(monkeypatch):
    for name in ("UNISON_KEEP_MEMORY", *heap.CHOSEN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert not heap.keep_freed_memory()
    monkeypatch.setattr(heap.sys, "platform", "darwin")
    assert not heap.keep_freed_memory()
