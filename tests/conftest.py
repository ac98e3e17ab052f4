"""What holds for every test: one thread per process, repeatable examples, no window, no litter."""

import os
import pathlib

import hypothesis
import hypothesis.configuration

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Set before NumPy is first imported: several pytest processes, and ranks beside them, share few
# cores, and must not each start one thread per core.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

hypothesis.configuration.set_hypothesis_home_dir(ROOT / ".cache" / "hypothesis")
# No deadline: a loaded machine is not a failure. Derandomised: one commit, one result.
hypothesis.settings.register_profile("law", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("law")
