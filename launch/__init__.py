"""Start and end of a job: `mpirun -n 4 python -m launch train.py`."""
