"""Jobs that stop, die and start again: the training ends with the bits of an undisturbed one."""

import os
import random
import re
import signal

import pytest

from tests.launch.jobs import ROOT, Job, needs_mpi, run

pytestmark = needs_mpi

TRAINS = ROOT / "tests" / "launch" / "trains.py"
SHARDS = ["--shards", "4"]


def result(ended):
    """The line with the sha256 of the parameters."""
    assert ended.code == 0, ended.err
    assert ended.alive == [] and ended.litter == []
    (line,) = re.findall(r"sha256 \w{64} after 24 steps", ended.out)
    return line


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The result of a run that nothing disturbs."""
    return result(run(tmp_path_factory.mktemp("calm"), 2, TRAINS, options=SHARDS))


def stopped(folder, ranks, to, number):
    """A training of some ranks of which one, or mpirun, gets a signal after its first step."""
    waits = {"UNISON_TEST_SIGNALLED": "0" if to == "mpirun" else str(to)}
    job = Job(folder, ranks, TRAINS, options=SHARDS, direct=to == "mpirun", env=waits)
    pids = [int(job.wait_for(f"pid.{rank}")) for rank in range(ranks)]
    os.kill(job.process.pid if to == "mpirun" else pids[to], number)
    return job.end()


@pytest.mark.parametrize("to", [2, "mpirun"])
def test_sigusr1_to_one_stops_all_at_one_step_and_the_rest_gives_the_same_bits(to, tmp_path, calm):
    ended = stopped(tmp_path, 4, to, signal.SIGUSR1)
    assert ended.code == 0 and ended.err == "", ended.err
    assert ended.alive == [] and ended.litter == []
    ranks, steps = zip(*re.findall(r"rank (\d) stopped at step (\d+)", ended.out))
    assert sorted(ranks) == ["0", "1", "2", "3"]
    assert len(dict.fromkeys(steps)) == 1
    assert result(run(tmp_path, 2, TRAINS, options=SHARDS)) == calm


def test_sigterm_to_one_rank_stops_all_ranks_too(tmp_path, calm):
    # One rank's SIGTERM is none of mpirun's business, so here Open MPI leaves the time as well.
    ended = stopped(tmp_path, 2, 1, signal.SIGTERM)
    assert ended.code == 0 and ended.out.count("stopped at step") == 2, ended.err
    assert result(run(tmp_path, 2, TRAINS, options=SHARDS)) == calm


@pytest.mark.parametrize("ranks", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_a_killed_and_restarted_training_has_the_bits_of_an_undisturbed_one(ranks, tmp_path, calm):
    draw = random.Random(ranks)
    words = (draw.randrange(ranks), draw.randrange(1, 24), draw.randint(1, 2))
    ended = run(tmp_path, ranks, TRAINS, *words, options=[*SHARDS, "--max-restarts", "3"])
    assert result(ended) == calm
    assert ended.err.count("restart") == ended.err.count("killed by signal 9") == words[2]


# A rank of a job of four ends as it starts, as on a host that is gone.
GONE = """
import os, sys
if "4" in (os.environ.get("PMI_SIZE"), os.environ.get("OMPI_COMM_WORLD_SIZE")):
    os._exit(99)
"""


def test_where_a_host_is_gone_the_job_goes_on_with_fewer_ranks(tmp_path, calm):
    (tmp_path / "sitecustomize.py").write_text(GONE)
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    options = [*SHARDS, "--max-restarts", "2", "--min-ranks", "2"]
    ended = run(tmp_path, 4, TRAINS, options=options, env={"PYTHONPATH": path})
    assert "restart 1 of 2 on 2 ranks, since none of 4 began" in ended.err
    assert result(ended) == calm
