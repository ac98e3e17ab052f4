"""A few rounds of the soak in every run of the suite; `soak.py` by hand does many."""

import random

import pytest

from tests.launch import soak
from tests.launch.jobs import needs_mpi

pytestmark = [*needs_mpi, pytest.mark.slow]


@pytest.mark.parametrize("seed", range(2))
def test_a_random_fault_ends_the_job_as_it_must(seed, tmp_path):
    done = soak.one_round(random.Random(seed), tmp_path)
    assert done.wrong == [], f"{done.text}\n{done.said}"
