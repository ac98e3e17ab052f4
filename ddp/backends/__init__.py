"""How groups move arrays: single (one rank), thread (simulated ranks), mpi, nccl."""
