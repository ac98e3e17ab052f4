"""What holds for every test: one thread per process, repeatable examples, no window, nothing written outside."""

import os
import pathlib

# Before NumPy is imported: two pytest processes on two cores, and ranks beside them, must not each start a thread per core.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import hypothesis.configuration

ROOT = pathlib.Path(__file__).resolve().parents[1]

hypothesis.configuration.set_hypothesis_home_dir(ROOT / ".cache" / "hypothesis")
# No deadline: a loaded machine is not a failure. Derandomised: the same commit gives the same result.
hypothesis.settings.register_profile("law", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("law")
