"""How fast a task is, and how long the rest takes: of all blocks, not of the one at work."""

from types import SimpleNamespace

import pytest

pytest.importorskip("qtpy")

from napari_deconv.widgets.pace import Pace
from napari_deconv.widgets.strip import progress_text
from napari_deconv.widgets.tasks import Update


def test_the_time_left_is_that_of_all_blocks():
    clock = SimpleNamespace(now=0.0)
    pace = Pace(lambda: clock.now)
    assert pace.look(Update("Finding", 3, None, open_ended=True)) == (None, None)
    clock.now = 10.0
    assert pace.look(Update("Block 1 of 4", 0, 10, 0.0)) == (None, None)
    clock.now = 15.0
    update = Update("Block 1 of 4", 5, 10, 0.125)
    assert pace.look(update) == (1.0, pytest.approx(35.0))
    assert progress_text(update, *pace.look(update)).endswith("35 s left")
    clock.now = 30.0
    rate, left = pace.look(Update("Block 3 of 4", 0, 10, 0.5))
    assert (rate, left) == (None, pytest.approx(20.0))


def test_what_was_done_before_does_not_count():
    clock = SimpleNamespace(now=0.0)
    pace = Pace(lambda: clock.now)
    pace.look(Update("Block 9 of 10", 0, 10, 0.8))
    clock.now = 10.0
    assert pace.look(Update("Block 10 of 10", 0, 10, 0.9))[1] == pytest.approx(10.0)
