"""The memory of freed arrays is used again, unless the user says otherwise."""

import os
import platform
import subprocess
import sys
from pathlib import Path

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


# How many KiB of the heap did the system agree to make of large pages?
LARGE = """
import core

known = open("/proc/self/smaps").read().split("VmFlags:")
sizes = [int(part.split("\\nSize:")[1].split()[0]) for part in known[:-1]]
flags = [part.splitlines()[0].split() for part in known[1:]]
print(sum(size for size, words in zip(sizes, flags) if "hg" in words))
"""


def said(script, **variables):
    known = {k: v for k, v in os.environ.items() if k not in heap.CHOSEN}
    environment = known | {"UNISON_KEEP_MEMORY": "1"} | variables
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    return int(run.stdout)


def new_pages(**variables):
    return said(SCRIPT, **variables)


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


@glibc
@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="no large pages in this system"
)
def test_the_heap_is_made_of_large_pages():
    assert said(LARGE) * 1024 > heap.AHEAD // 2
    assert said(LARGE, UNISON_KEEP_MEMORY="0") == 0


def test_another_c_library_is_left_alone(monkeypatch):
    for name in ("UNISON_KEEP_MEMORY", *heap.CHOSEN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert not heap.keep_freed_memory()
    monkeypatch.setattr(heap.sys, "platform", "darwin")
    assert not heap.keep_freed_memory()
