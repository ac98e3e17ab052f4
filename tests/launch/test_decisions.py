"""What the launcher decides without starting anything: tables of inputs and answers."""

import os
import pathlib
import signal
import types

import numpy as np
import pytest

import ddp
from ddp.board import Board, State
from launch import cores, devices, handshake, output, report, stacks, status, watchdog
from launch.ledger import Ledger, folder, open_ledger
from launch.options import Options, parse, unparsed
from launch.script import Script
from launch.status import UsageError
from launch.supervisor import ENDED, REPORTED, STARTED, verdict
from launch.world import HYDRA, OPEN_MPI, SLURM, World, claimed

# ---- the world ----

WORLDS = {
    "nothing": ({}, World()),
    "hydra": (
        {
            "PMI_FD": "7",
            "PMI_RANK": "3",
            "PMI_SIZE": "4",
            "MPI_LOCALRANKID": "1",
            "MPI_LOCALNRANKS": "2",
        },
        World(3, 4, 1, 2, HYDRA),
    ),
    "open mpi": (
        {
            "OMPI_COMM_WORLD_RANK": "1",
            "OMPI_COMM_WORLD_SIZE": "2",
            "OMPI_COMM_WORLD_LOCAL_RANK": "0",
            "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
            "PMIX_RANK": "1",
        },
        World(1, 2, 0, 1, OPEN_MPI),
    ),
    "slurm step": (
        {
            "SLURM_PROCID": "5",
            "SLURM_LOCALID": "1",
            "SLURM_NODEID": "1",
            "SLURM_NTASKS": "16",
            "SLURM_STEP_NUM_TASKS": "7",
            "SLURM_STEP_TASKS_PER_NODE": "4,3",
        },
        World(5, 7, 1, 3, SLURM),
    ),
    "shell in a slurm step": (
        {"PMI_FD": "9", "PMI_RANK": "0", "PMI_SIZE": "1", "SLURM_STEP_NUM_TASKS": "1"},
        World(),
    ),
    "slurm batch script": ({"SLURM_PROCID": "0", "SLURM_NTASKS": "16"}, World()),
    "mpirun in a slurm step": (
        {"PMI_FD": "5", "PMI_RANK": "0", "PMI_SIZE": "2", "SLURM_STEP_NUM_TASKS": "1"},
        World(0, 2, 0, 2, HYDRA),
    ),
}


@pytest.mark.parametrize("name", WORLDS)
def test_the_world_is_read_from_the_environment(name):
    environ, world = WORLDS[name]
    assert claimed(environ) == world


# ---- the command line ----

WRONG = {
    ("-n", "0", "a.py"): "expects a whole number >= 1, got '0'",
    ("-n", "x", "a.py"): "expects a whole number >= 1, got 'x'",
    ("-n",): "needs a value",
    (): "expected a script",
    ("-m",): "expected a module name",
    ("--nope", "a.py"): "unknown option '--nope'; `python -m launch --help` lists them",
    ("-np", "2", "a.py"): "unknown option '-np': the number of ranks is -n N",
    ("-n2", "a.py"): "unknown option '-n2': the number of ranks is -n N",
    ("--nproc_per_node=2", "a.py"): "'--nproc_per_node': the number of ranks is -n N",
    ("--nnodes", "2", "a.py"): "'--nnodes': no address is needed",
    ("--rdzv-backend=c10d", "a.py"): "'--rdzv-backend': no address is needed",
    ("--timeout", "-1", "a.py"): "expects seconds",
    ("--timeout", "nan", "a.py"): "expects seconds",
    ("--shards", "6", "a.py"): "power of two",
    ("--device", "tpu", "a.py"): "auto, cuda or cpu",
    ("-q=1", "a.py"): "takes no value",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_command_line_is_one_sentence(words):
    with pytest.raises(UsageError, match=WRONG[words]) as caught:
        parse(words)
    assert "\n" not in str(caught.value)


def test_everything_after_the_script_is_the_scripts():
    options = parse(["-q", "train.py", "-n", "3", "--timeout", "x"])
    assert options.script == Script("train.py", ("-n", "3", "--timeout", "x"))
    assert options.quiet and options.ranks == 0


def test_the_ranks_get_the_options_of_the_job():
    words = ["-n", "4", "--timeout=5", "--shards", "8", "-q", "-m", "package.module", "a", "-b"]
    options = parse([*words])
    again = parse(unparsed(options))
    assert again == Options(
        script=Script("package.module", ("a", "-b"), is_module=True),
        timeout=5.0,
        shards=8,
        quiet=True,
    )


# ---- the end of a rank ----

VERDICTS = [
    (0, STARTED + ENDED, 0, ""),
    (0, STARTED, status.SILENT, "status 0 before the end of its script"),
    (0, b"", status.SILENT, "before it had started"),
    (3 << 8, STARTED, 3, "status 3 before the end of its script"),
    (3 << 8, STARTED + REPORTED, 3, ""),
    (3 << 8, STARTED + ENDED, 3, "ended its script and then left with status 3"),
    (9, STARTED, 137, "killed by signal 9 (out of memory?)"),
    (11, STARTED + ENDED, 139, "killed by signal 11 (segmentation fault)"),
    (7, STARTED, 135, "shared memory full"),
]


@pytest.mark.parametrize(("wait_status", "said", "code", "text"), VERDICTS)
def test_every_end_of_a_rank_has_a_status_and_a_sentence(wait_status, said, code, text):
    found = verdict(wait_status, said)
    assert found.code == code
    assert text in found.text and bool(text) == bool(found.text)


# ---- devices and cores ----

CHOICES = [
    ([], 3, 4, "auto", "cpu"),
    (["a", "b"], 1, 2, "auto", "cuda:1"),
    (["a", "b", "c"], 1, 2, "cuda", "cuda:1"),
    (["a"], 1, 2, "auto", "cuda:0"),
    (["a", "b"], 3, 4, "cpu", "cpu"),
]


@pytest.mark.parametrize(("gpus", "local_rank", "local_size", "wanted", "device"), CHOICES)
def test_a_rank_gets_the_device_of_its_local_rank(gpus, local_rank, local_size, wanted, device):
    assert devices.choose(gpus, local_rank, local_size, wanted) == device


@pytest.mark.parametrize(("gpus", "wanted", "todo"), [("ab", "auto", "start"), ("", "cuda", "use")])
def test_too_few_gpus_are_one_sentence_with_the_list(gpus, wanted, todo):
    with pytest.raises(UsageError, match=rf"4 ranks on .*{len(gpus)} GPUs visible: \[.*\]; {todo}"):
        devices.choose(gpus, 0, 4, wanted)


def test_a_gpu_used_twice_is_refused_by_name():
    assert "ranks 0 and 2 on host a" in devices.duplicate([("a", "G1"), ("b", "G1"), ("a", "G1")])
    assert devices.duplicate([("a", "G1"), ("b", "G1"), ("a", "G2")]) == ""
    assert devices.duplicate([("a", ""), ("a", "")]) == ""


def test_visible_gpus_are_those_that_cuda_will_show(tmp_path):
    for bus, uuid in (("0000:01:00.0", "GPU-aa"), ("0000:02:00.0", "GPU-bb")):
        (tmp_path / bus).mkdir()
        text = f"Model: \t\t X\nGPU UUID: \t {uuid}\n"
        (tmp_path / bus / "information").write_text(text)
    assert devices.visible({}, tmp_path) == ["GPU-aa", "GPU-bb"]
    by_bus = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert devices.visible({"CUDA_VISIBLE_DEVICES": "1", **by_bus}, tmp_path) == ["GPU-bb"]
    assert devices.visible({"CUDA_VISIBLE_DEVICES": "1"}, tmp_path) == ["GPU 1"]
    assert devices.visible({"CUDA_VISIBLE_DEVICES": "GPU-bb,-1,0"}, tmp_path) == ["GPU-bb"]
    assert devices.visible({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    tasks = {"CUDA_VISIBLE_DEVICES": "0", "SLURM_STEP_NUM_TASKS": "4"}
    assert devices.visible(tasks, tmp_path) == [""]
    assert devices.visible({"UNISON_SIMULATED_GPUS": "2"}, tmp_path) == [
        "simulated GPU 0",
        "simulated GPU 1",
    ]


def test_threads_fill_the_cores_once():
    for count in range(1, 20):
        for ranks in range(1, 20):
            threads = cores.threads(range(count), range(count), ranks)
            assert threads >= 1
            assert threads * ranks <= max(count, ranks)
    assert cores.thread_limits({"OMP_NUM_THREADS": "3"}, 8) == {}
    assert cores.thread_limits({}, 8)["OPENBLAS_NUM_THREADS"] == "8"


def test_a_rank_bound_to_one_core_of_many_is_told_the_flag():
    assert "--bind-to none" in cores.complaint([1], [0, 1, 2, 3])
    assert cores.complaint([0, 1], [0, 1, 2, 3]) == ""
    assert cores.complaint([0], [0]) == ""


# ---- the handshake ----


def test_a_difference_between_ranks_names_the_odd_one():
    usual = {"Python": "3.11", "numpy": "2.4"}
    odd = {"Python": "3.11", "numpy": ""}
    text = handshake.difference([usual, usual, odd], ["a", "a", "b"])
    assert text == ("ranks differ: numpy is missing on rank 2 (host b) and 2.4 on rank 0 (host a)")
    assert handshake.difference([usual, usual], ["a", "b"]) == ""


# ---- the ledger ----


def test_one_rank_claims_and_the_same_failures_are_found(tmp_path):
    pages = [Ledger(str(tmp_path / "page"), 4) for _ in range(4)]
    assert [pages[rank].claim(rank) for rank in (2, 0, 3)] == [True, False, False]
    for rank, digest in ((0, 7), (1, 9), (3, 7)):
        pages[rank].note(rank, digest)
    assert pages[2].failed(7) == [0, 3]
    assert pages[2].failed() == [0, 1, 3]
    pages[0].unlink()
    pages[1].unlink()
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_is_private_and_no_link_is_followed(tmp_path):
    page = Ledger(str(tmp_path / "page"), 1)
    assert os.stat(page.path).st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Ledger(str(tmp_path / "link"), 1)
    assert not (tmp_path / "elsewhere").exists()


def test_the_ledger_of_a_dead_job_is_removed():
    mine = open_ledger(1)
    prefix = mine.path[: mine.path.index(f"{os.getpid()}-")]
    # The first process of the machine did not start at tick 1.
    dead = [pathlib.Path(f"{prefix}1-1"), pathlib.Path(f"{prefix}1-1-board")]
    # A living job's board has its ledger's name and more.
    board = pathlib.Path(f"{mine.path}-board")
    for path in (*dead, board):
        path.touch(mode=0o600)
    again = open_ledger(1)
    assert not any(path.exists() for path in dead)
    assert board.exists()
    board.unlink()
    assert again.path == mine.path and mine.path.startswith(folder())
    mine.unlink()


# ---- reports ----


def test_a_traceback_has_no_frame_of_the_launcher():
    package = str(pathlib.Path(report.__file__).with_name("rank.py"))
    inner = compile("def fail():\n    raise KeyError('x')\n", "train.py", "exec")
    outer = compile("def run(f):\n    f()\n", package, "exec")
    made = types.SimpleNamespace(**_defined(inner), **_defined(outer))
    with pytest.raises(KeyError) as caught:
        made.run(made.fail)
    caught.value.__traceback__ = caught.value.__traceback__.tb_next
    text = report.trimmed(caught.value)
    assert "train.py" in text and "rank.py" not in text


def test_what_a_collective_tells_of_ranks_ends_at_its_caller():
    def disagree():
        ddp.all_reduce(np.ones(1 + ddp.get_rank()))

    with pytest.raises(ddp.CollectiveMismatchError) as caught:
        ddp.simulate(disagree, size=2)
    told, frames = str(caught.value), report.trimmed(caught.value).split("  File ")
    assert "in disagree" in frames[-1] and told.splitlines()[-1] in frames[-1]
    # Another error of ddp's shows where it was raised.
    with pytest.raises(ValueError, match="default process group") as caught:
        ddp.barrier()
    assert "ddp/" in report.trimmed(caught.value).split("  File ")[-1]


def _defined(code):
    found = {}
    types.FunctionType(code, found)()
    found.pop("__builtins__", None)
    return found


DUMP = """Fatal Python error: Segmentation fault

Thread 0x00007f00000000aa (most recent call first):
  File "/x/threading.py", line 1 in wait

Current thread 0x00007f00000000bb (most recent call first):
  File "{stdlib}/ctypes/__init__.py", line 519 in string_at
  File "/home/me/train.py", line 6 in step
  File "/home/me/train.py", line 9 in <module>
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "{launch}/script.py", line 67 in run
  File "{launch}/rank.py", line 137 in _run_script

Extension modules: mpi4py.MPI (total: 1)
"""


def test_a_dump_gives_the_line_of_the_script():
    places = {"stdlib": os.path.dirname(os.__file__), "launch": os.path.dirname(stacks.__file__)}
    found = stacks.frames(DUMP.format(**places))
    assert [frame.line for frame in found] == [519, 6, 9]
    assert str(stacks.place(found)) == "step at train.py:6"
    asked = 'Stack (most recent call first):\n  File "/home/me/data.py", line 20 in load\n'
    assert str(stacks.place(stacks.frames(asked))) == "load at data.py:20"
    waits = asked.replace(":\n", f':\n  File "{ddp.__file__}", line 45 in wait_until\n', 1)
    assert str(stacks.place(stacks.frames(waits))) == "load at data.py:20"
    assert stacks.frames("") == [] and stacks.place([]) is None


def test_output_is_passed_on_in_whole_lines_with_the_rank():
    (reading, writing), (seen, target) = os.pipe(), os.pipe()
    stream = output.Stream(reading, (target,), b"r3 ")
    os.write(writing, b"one\ntwo\nthr")
    assert stream.carry()
    assert os.read(seen, 100) == b"one\ntwo\n"
    os.write(writing, b"ee\r")
    assert stream.carry()
    os.write(writing, b"last")
    assert stream.carry()
    os.close(writing)
    assert not stream.carry()
    assert os.read(seen, 100) == b"three\rlast"
    for fd in (reading, seen, target):
        os.close(fd)


# ---- the watchdog ----


@pytest.fixture
def boards(tmp_path):
    """The boards of two ranks that compute."""
    made = [Board(str(tmp_path / "b"), rank, 2, create=rank == 0) for rank in range(2)]
    for board in made:
        board.set_state(State.COMPUTING)
    yield made
    for board in made:
        board.close()


def later(board, seconds):
    """The time at which this rank's state is so old."""
    return board.read(board.rank).since + seconds


def test_a_rank_that_computes_is_never_accused(boards):
    assert watchdog.examine(boards[0], [1], 1.0, later(boards[0], 1e6)) is None


def test_a_deadline_names_the_rank_that_is_missing(boards):
    boards[0].post(4, 1, "all_reduce", "t.py:3")
    assert watchdog.examine(boards[0], [1], 5.0, later(boards[0], 4)) is None
    found = watchdog.examine(boards[0], [1], 5.0, later(boards[0], 6))
    assert found.code == status.DEADLINE
    assert "all_reduce #4 at t.py:3 (limit 5 s): rank 1 never reached it" in found.text
    assert watchdog.examine(boards[0], [1], 0.0, later(boards[0], 1e6)) is None


def test_a_patient_collective_has_no_deadline_but_an_end(boards):
    boards[0].post(4, 1, "barrier")
    boards[0].set_state(State.PATIENT)
    assert watchdog.examine(boards[0], [1], 5.0, later(boards[0], 1e6)) is None
    boards[1].set_state(State.FINISHED)
    found = watchdog.examine(boards[0], [1], 5.0, later(boards[1], 2))
    assert found.code == status.UNEVEN


def test_a_peer_that_finished_later_in_the_sequence_is_fine(boards):
    boards[0].post(4, 1, "barrier")
    boards[1].post(4, 1, "barrier")
    boards[1].leave()
    boards[1].set_state(State.FINISHED)
    assert watchdog.examine(boards[0], [1], 0.0, later(boards[1], 100)) is None


def test_different_collectives_under_one_number_are_a_mismatch(boards):
    boards[0].post(4, 1, "all_reduce")
    boards[1].post(4, 2, "broadcast")
    found = watchdog.examine(boards[0], [1], 5.0, later(boards[1], 2))
    assert found.code == status.MISMATCH
    assert "all_reduce" in found.text and "broadcast" in found.text


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (200, "unknown")])
def test_signals_in_words(number, name):
    assert report.signal_text(number) == f"killed by signal {number:d} ({name})"
