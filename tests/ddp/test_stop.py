"""should_stop: one rank is asked, all ranks answer, at the same step."""

import ddp
from ddp import stop


def test_all_ranks_stop_at_the_step_at_which_one_was_asked(monkeypatch):
    asked_at = {1: 3, 2: 5}
    steps = [0, 0, 0, 0]
    now = lambda: steps[ddp.get_rank()] >= asked_at.get(ddp.get_rank(), 99)  # noqa: E731
    monkeypatch.setattr(stop, "stop_requested", now)

    def train():
        while not ddp.should_stop():
            steps[ddp.get_rank()] += 1
        return steps[ddp.get_rank()]

    assert ddp.simulate(train, size=4) == [3, 3, 3, 3]


def test_one_rank_alone_answers_for_itself(monkeypatch):
    monkeypatch.setattr(stop, "stop_requested", lambda: True)
    assert ddp.simulate(ddp.should_stop, size=1) == [True]
