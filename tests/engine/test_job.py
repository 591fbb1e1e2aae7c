"""The loop: cancel, go on, blocks, regions, memory, one job at a time."""

import threading

import numpy as np
import pytest

from napari_deconv.engine import Job, devices
from napari_deconv.engine import plan as planning
from napari_deconv.errors import JobError
from napari_deconv.operators.convolution import Convolution
from napari_deconv.registry import methods
from problems import gaussian_psf, photographed, relative_rmse, spots

PSF = gaussian_psf((7, 11, 11), (1.2, 1.6, 1.6))
STACK = photographed(spots((16, 72, 80), count=60), PSF)


def run(job):
    for _ in job.steps():
        pass
    return job.result


def restored(image=STACK, psf=PSF, method="richardson-lucy", **options):
    return run(Job(image, method, psf, **options))


def test_cancel_keeps_the_last_estimate():
    job = Job(STACK, "richardson-lucy", PSF, iterations=10000)
    steps = job.steps()
    assert job.estimate() is None
    step = next(steps)
    steps.close()
    assert job.result is None
    np.testing.assert_allclose(
        job.estimate(), restored(iterations=step.iteration), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("acceleration", ["none", "nesterov", "biggs-andrews"])
def test_going_on_is_the_same_as_never_having_stopped(acceleration):
    job = Job(STACK, "richardson-lucy", PSF, iterations=7, acceleration=acceleration)
    assert not job.can_continue
    first = run(job).copy()
    for _ in job.more(8):
        pass
    whole = restored(iterations=15, acceleration=acceleration)
    np.testing.assert_array_equal(job.result, whole)
    assert job.details.iterations == 15
    assert job.details.statistics[-1].iteration == 15
    assert relative_rmse(first, whole) > 1e-3


def test_a_job_in_several_blocks_cannot_go_on():
    job = Job(STACK, "richardson-lucy", PSF, iterations=2, tiles=(16, 40, 40))
    run(job)
    assert not job.can_continue
    with pytest.raises(JobError, match="one piece"):
        next(job.more(1))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("richardson-lucy", {"iterations": 20}),
        ("richardson-lucy", {"iterations": 10, "acceleration": "nesterov", "background": 1.5}),
        ("wiener", {}),
        ("regularized-inverse", {}),
    ],
)
@pytest.mark.parametrize("borders", ["extended", "reflect", "circular"])
def test_tiles_leave_no_seam(method, options, borders):
    """Relative RMSE at most 2e-3, and at most 5e-3 within 8 voxels of a seam."""
    options = {"borders": borders, **options}
    whole = Job(STACK, method, PSF, **options)
    run(whole)
    tiled = Job(STACK, method, PSF, tiles=(16, 36, 40), **options)
    run(tiled)
    assert tiled.details.blocks == 4
    for name, value in whole.details.parameters.items():
        assert name == "tiles" or tiled.details.parameters[name] == value
    seam = np.zeros(STACK.shape, bool)
    seam[:, 28:44] = True
    seam[:, :, 32:48] = True
    assert relative_rmse(tiled.result, whole.result) <= 2e-3
    assert relative_rmse(tiled.result[seam], whole.result[seam]) <= 5e-3


def test_a_region_is_restored_as_if_it_were_all():
    region = (slice(None), slice(20, 50), slice(33, 70))
    part = restored(region=region, iterations=15)
    whole = restored(iterations=15)[region]
    assert part.shape == (16, 30, 37)
    assert relative_rmse(part, whole) < 2e-3


def test_tiles_are_chosen_to_fit_the_memory():
    whole = Job(STACK, "richardson-lucy", PSF, iterations=3)
    need = whole.forecast.memory_bytes / 1e9
    job = Job(STACK, "richardson-lucy", PSF, iterations=3, memory_limit=max(0.01, need / 1.5))
    big = np.tile(STACK, (1, 4, 4))
    job = Job(big, "richardson-lucy", PSF, iterations=3, memory_limit=0.04)
    assert job.forecast.blocks > 1
    assert job.forecast.tiles[0] == 16  # stacks stay whole along z
    run(job)
    assert job.details.blocks == job.forecast.blocks


def test_out_of_memory_is_survived_with_smaller_tiles(monkeypatch):
    largest = []

    class Scarce(Convolution):
        def __init__(self, psf, shape, *args, **kwargs):
            if np.prod(shape) > 0.6 * STACK.size:
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
            largest.append(int(np.prod(shape)))
            super().__init__(psf, shape, *args, **kwargs)

    monkeypatch.setattr("napari_deconv.engine.problem.Convolution", Scarce)
    need = Job(STACK, "richardson-lucy", PSF, iterations=8).forecast.memory_bytes
    monkeypatch.setattr(devices, "free_memory", lambda device: 3 * need)
    job = Job(STACK, "richardson-lucy", PSF, iterations=8)
    run(job)
    monkeypatch.undo()
    assert any("ran out of memory" in words for words in job.details.warnings)
    assert job.details.blocks > 1
    assert relative_rmse(job.result, restored(iterations=8)) <= 2e-3


def test_no_memory_at_all_is_said_in_plain_words(monkeypatch):
    def never(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("napari_deconv.engine.problem.Convolution", never)
    with pytest.raises(JobError, match="not enough memory"):
        restored(iterations=2)
    monkeypatch.undo()
    assert restored(iterations=2) is not None


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr("napari_deconv.engine.problem.Convolution", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        restored(iterations=2)


def test_one_job_at_a_time_on_a_device():
    first = Job(STACK, "richardson-lucy", PSF, iterations=10000)
    steps = first.steps()
    next(steps)
    seen = []
    second = Job(STACK, "richardson-lucy", PSF, iterations=3)
    waiting = threading.Event()

    def work():
        for step in second.steps():
            seen.append(step.stage)
            waiting.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert waiting.wait(10)
    assert seen[0] == "Waiting for another job"
    assert second.result is None
    steps.close()
    thread.join(30)
    assert second.result is not None


def test_a_waiting_job_can_be_cancelled():
    first = Job(STACK, "richardson-lucy", PSF, iterations=10000)
    steps = first.steps()
    next(steps)
    second = Job(STACK, "richardson-lucy", PSF, iterations=3).steps()
    assert next(second).stage == "Waiting for another job"
    second.close()
    steps.close()


def test_progress_is_at_most_twenty_a_second(monkeypatch):
    small = Job(STACK[0], "richardson-lucy", PSF.sum(0), iterations=300)
    steps = list(small.steps())
    assert len(steps) <= 2 + 20 * small.details.seconds
    assert steps[-1].iteration == 300
    assert steps[-1].fraction == 1
    assert [s.iteration for s in steps] == sorted(s.iteration for s in steps)


@pytest.mark.parametrize("method", methods())
def test_every_method_has_a_forecast(method):
    forecast = Job(STACK, method, PSF).forecast
    assert forecast.seconds > 0
    assert forecast.memory_bytes > 4 * STACK.size


def test_forecast_counts_blocks_and_iterations():
    job = Job(np.stack([STACK] * 3), "richardson-lucy", PSF, iterations=20, tiles=(16, 36, 80))
    forecast = job.forecast
    assert forecast.blocks == 6
    assert forecast.iterations == 20
    assert forecast.seconds > 20 * forecast.seconds_per_iteration > 0
    assert forecast.memory_bytes > 4 * 3 * STACK.size


@pytest.mark.parametrize("shape", [(20, 300, 500), (600, 200, 200), (3000, 5000)])
def test_tiles_cover_everything_once(shape):
    method = Job(STACK, "richardson-lucy", PSF, iterations=1)._problem.method
    halo, device = (5,) * len(shape), devices.find_device("cpu")
    parameters = {"acceleration": "none", "projector": "matched"}
    demand = planning.Demand(method, parameters, halo, (2,) * len(shape), "extended", device, halo)
    budget = demand.bytes(shape) / 7
    tile = planning.choose_tiles(shape, demand, budget, (1,) * len(shape))
    covered = np.zeros(shape, np.uint8)
    for core in planning.cores(shape, tile):
        covered[core] += 1
    assert covered.min() == covered.max() == 1
    assert demand.bytes(demand.outer(tile, shape)) <= budget
