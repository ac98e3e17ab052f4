"""The board: posted words are never torn, and of two ranks that differ at least one sees it."""

import errno
import os
import sys
import threading

import pytest

from ddp import board as boards
from ddp.board import SLOTS, Board, State


@pytest.fixture
def two(tmp_path):
    """The boards of two ranks on one file."""
    made = [Board(str(tmp_path / "b"), rank, 2, create=rank == 0) for rank in range(2)]
    yield made
    for board in made:
        board.close()


def test_a_post_is_read_by_the_peer(two):
    two[0].post(3, 0xFFFFFFFF, "all_reduce float32 (3,)", "train.py:7")
    record = two[1].read(0)
    assert (record.pid, record.seq, record.state) == (os.getpid(), 3, State.IN_COLLECTIVE)
    assert (record.label, record.site) == ("all_reduce float32 (3,)", "train.py:7")
    assert two[1].fingerprint_at(0, 3) == 0xFFFFFFFF
    two[0].leave()
    assert two[1].read(0).state is State.COMPUTING


def test_equal_records_agree_and_different_ones_do_not(two):
    two[0].post(1, 5, "a")
    assert two[0].mismatch() is None
    two[1].post(1, 5, "a")
    assert (two[0].mismatch(), two[1].mismatch()) == (None, None)
    two[0].post(2, 5, "a")
    two[1].post(2, 6, "b")
    assert (two[0].mismatch(), two[1].mismatch()) == (1, 0)
    assert two[0].mismatch(ranks=[0]) is None


def test_a_record_stays_for_a_whole_ring(two):
    for seq in range(1, SLOTS + 2):
        two[0].post(seq, seq, "a")
    assert two[1].fingerprint_at(0, SLOTS + 1) == SLOTS + 1
    assert two[1].fingerprint_at(0, 2) == 2
    assert two[1].fingerprint_at(0, 1) is None
    assert two[1].fingerprint_at(0, 0) is None


def test_a_long_or_foreign_text_is_cut_and_stays_text(two):
    two[0].post(1, 1, "é" * 200, "")
    assert two[1].read(0).label.startswith("é" * 40)
    two[0].post(2, 1, "b")
    assert two[1].read(0).label == "b"


def test_an_existing_file_is_not_taken_over(tmp_path):
    (tmp_path / "b").write_bytes(b"")
    with pytest.raises(FileExistsError):
        Board(str(tmp_path / "b"), 0, 1, create=True)
    (tmp_path / "link").symlink_to(tmp_path / "b")
    with pytest.raises(OSError, match="symbolic links"):
        Board(str(tmp_path / "link"), 0, 1, create=False)


def test_no_false_alarm_while_both_ranks_post_at_once(two):
    alarms, rounds = [], 20_000
    turn = threading.Barrier(2)

    def run(board):
        turn.wait()
        for seq in range(1, rounds):
            board.post(seq, seq * 2_654_435_761 & 0xFFFFFFFF, "all_reduce")
            if board.mismatch() is not None:
                alarms.append(seq)

    threads = [threading.Thread(target=run, args=(board,)) for board in two]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alarms == []


def test_every_mismatch_is_seen_by_at_least_one_rank(two):
    seen = [[], []]
    turn = threading.Barrier(2)

    def run(board):
        for seq in range(1, 300):
            turn.wait()
            board.post(seq, board.rank, "either")
            seen[board.rank].append(board.mismatch() is not None)

    threads = [threading.Thread(target=run, args=(board,)) for board in two]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one or other for one, other in zip(*seen))


def test_a_board_that_finds_no_room_is_an_error_when_it_is_made(monkeypatch, tmp_path):
    def full(fd, offset, count):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/b'"):
        Board(str(tmp_path / "b"), 0, 2, create=True)


def test_the_process_has_one_board_and_one_wish_to_stop(two):
    before = boards.installed()
    boards.install(two[0])
    assert boards.installed() is two[0]
    boards.install(before)
    assert boards.stop_requested() is False
    assert boards.stop_is_watched()


def test_a_signal_may_ask_for_a_stop_in_the_middle_of_another(monkeypatch):
    monkeypatch.setattr(boards, "_stop", boards._stop)

    def interrupt(frame, event, argument):
        boards.request_stop()  # as a handler that runs between any two lines of the first one
        return interrupt

    def ask():
        sys.settrace(interrupt)
        boards.request_stop()
        sys.settrace(None)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
