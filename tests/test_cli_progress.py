"""Progress for a person and for a log file."""

import io
from dataclasses import dataclass

import pytest

from napari_deconv.cli.progress import Progress, duration


@dataclass
class Step:
    iteration: int
    total: int | None = 100
    stage: str = "Restoring"

    @property
    def fraction(self):
        return self.iteration / (self.total or 100)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def run(stream, seconds_per_step, steps=100, total=100):
    clock = Clock()
    progress = Progress(stream, clock)
    for iteration in range(1, steps + 1):
        clock.now += seconds_per_step
        progress.show(Step(iteration, total))
    progress.close()
    return stream.getvalue()


def test_bar_tells_rate_and_time_left():
    text = run(Terminal(), 0.5)
    half = next(part for part in text.split("\r") if "50 of 100" in part)
    assert half.startswith("[############------------]")
    assert " 50%" in half
    assert "2 it/s" in half
    assert "25 s left" in half


def test_bar_is_drawn_ten_times_a_second_at_most():
    assert run(Terminal(), 0.001).count("\r") <= 4


def test_bar_leaves_an_empty_line():
    text = run(Terminal(), 0.5)
    last = text.split("\r")[-2]
    assert last.strip() == ""
    assert text.endswith("\r")


def test_shorter_text_covers_longer():
    clock = Clock()
    stream = Terminal()
    progress = Progress(stream, clock)
    progress.show(Step(1, stage="a long name of a stage"))
    clock.now += 1
    progress.show(Step(2, stage="short"))
    first, second = (part for part in stream.getvalue().split("\r") if part)
    assert len(second) >= len(first)


def test_log_gets_sparse_lines():
    lines = run(io.StringIO(), 0.5).splitlines()
    assert 4 <= len(lines) <= 6  # 50 s, a line every 10
    assert "\r" not in "".join(lines)


def test_log_tells_every_stage():
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock)
    for stage in ("Finding the number of iterations", "Restoring"):
        for iteration in range(3):
            progress.show(Step(iteration, None, stage))
    assert [line.strip().split("  ")[1] for line in stream.getvalue().splitlines()] == [
        "Finding the number of iterations",
        "Restoring",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.26, "0.3 s"), (12, "12 s"), (300, "5 min"), (9000, "2.5 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
