"""Blocks restored by worker processes: the same numbers, whoever is lost on the way."""

import os
import signal
import sys

import numpy as np
import pytest

from napari_deconv.cli import main
from napari_deconv.engine import Job
from napari_deconv.engine.journal import Journal
from napari_deconv.engine.streaming import stream
from napari_deconv.errors import JobError, ParameterError
from napari_deconv.io import read_image

OPTIONS = {"iterations": 10, "tiles": (6, 16, 16), "threads": 1}


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("distributed", reason="the extra 'distributed' is not installed")
    from napari_deconv.engine.cluster import Cluster

    with Cluster(workers=2, threads=1) as made:
        yield made


@pytest.fixture(scope="module")
def scene():
    """An image in memory, its PSF, and what one process makes of them."""
    image = np.random.default_rng(0).poisson(50, (6, 64, 64)).astype(np.uint16)
    z, y, x = np.ogrid[-2:3, -3:4, -3:4]
    psf = np.exp(-(z**2 / 4 + y**2 / 6 + x**2 / 6)).astype(np.float32)
    job = Job(image, "richardson-lucy", psf, **OPTIONS)
    for _ in job.steps():
        pass
    return image, psf, job.result


@pytest.fixture
def every_step(monkeypatch):
    """Every step is shown, however quickly they come."""
    monkeypatch.setattr("napari_deconv.engine.job._SHORTEST", 0.0)


def written(path):
    return np.asarray(read_image(path).data)


@pytest.mark.parametrize("suffix", [".ome.zarr", ".tif"])
def test_workers_make_the_same_numbers(cluster, scene, tmp_path, suffix, every_step):
    image, psf, expected = scene
    path = tmp_path / f"out{suffix}"
    job = Job(image, "richardson-lucy", psf, **OPTIONS)
    stages = [step.stage for step in stream(job, path, runner=cluster.runner)]
    np.testing.assert_array_equal(written(path), expected)
    assert "Restoring, block 16 of 16" in stages


def test_workers_exchange_halos(cluster, scene, tmp_path):
    image, psf, _ = scene
    options = OPTIONS | {"halo_exchange": 2, "iterations": 4, "tiles": (6, 32, 32)}
    here = Job(image, "richardson-lucy", psf, **options)
    for _ in here.steps():
        pass
    job = Job(image, "richardson-lucy", psf, **options)
    for _ in stream(job, tmp_path / "out.ome.zarr", runner=cluster.runner):
        pass
    np.testing.assert_array_equal(written(tmp_path / "out.ome.zarr"), here.result)


def test_what_workers_cannot_write_comes_back(cluster, scene, tmp_path, monkeypatch):
    image, psf, expected = scene
    monkeypatch.setattr(type(cluster), "sees", lambda self, path: False)
    job = Job(image, "richardson-lucy", psf, **OPTIONS)
    for _ in stream(job, tmp_path / "out.ome.zarr", runner=cluster.runner):
        pass
    np.testing.assert_array_equal(written(tmp_path / "out.ome.zarr"), expected)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("lost", [1, 2])
def test_a_killed_worker_costs_its_block_not_the_job(cluster, scene, tmp_path, lost, every_step):
    image, psf, expected = scene
    job = Job(image, "richardson-lucy", psf, **OPTIONS)
    killed = False
    for step in stream(job, tmp_path / "out.ome.zarr", runner=cluster.runner):
        if step.stage == "Restoring, block 2 of 16" and not killed:
            for process in list(cluster.client.run(os.getpid).values())[:lost]:
                os.kill(process, signal.SIGKILL)
            killed = True
    assert killed
    np.testing.assert_array_equal(written(tmp_path / "out.ome.zarr"), expected)


def test_a_cancelled_job_goes_on_later(cluster, scene, tmp_path, every_step):
    image, psf, expected = scene
    steps = stream(
        Job(image, "richardson-lucy", psf, **OPTIONS),
        tmp_path / "out.ome.zarr",
        runner=cluster.runner,
    )
    next(step for step in steps if step.stage == "Restoring, block 3 of 16")
    steps.close()
    # Which blocks are done first is the workers' affair.
    done = {f"Restoring, block {n + 1} of 16" for n in _done(tmp_path / "out.ome.zarr")}
    assert len(done) == 3
    job = Job(image, "richardson-lucy", psf, **OPTIONS)
    stages = {s.stage for s in stream(job, tmp_path / "out.ome.zarr")}  # and elsewhere
    restored = {stage for stage in stages if stage.startswith("Restoring, block")}
    assert restored == {f"Restoring, block {n} of 16" for n in range(1, 17)} - done
    np.testing.assert_array_equal(written(tmp_path / "out.ome.zarr"), expected)


def _done(path):
    """Numbers of the blocks that an unfinished file has."""
    return [int(mark) for mark in Journal(path).done() if mark.isdigit()]


def test_what_a_block_raises_ends_the_job(cluster):
    with pytest.raises(ZeroDivisionError):
        list(cluster.each(_divide, [1, 0], 1))


def _divide(number, one):
    return one / number


def test_without_the_package_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    from napari_deconv.engine.cluster import Cluster

    with pytest.raises(JobError, match=r"napari-deconv\[distributed\]"):
        Cluster(workers=1)
    with pytest.raises(ParameterError, match="either"):
        Cluster()


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    pytest.importorskip("distributed")
    from napari_deconv.engine import cluster

    monkeypatch.setattr(cluster, "_ANSWER", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://here"):
        with pytest.raises(JobError, match="No dask scheduler answers"):
            cluster.Cluster(address)


def test_restore_and_run_with_workers(scene, tmp_path, monkeypatch, capsys):
    pytest.importorskip("distributed")
    from distributed import LocalCluster

    from napari_deconv.engine import cluster
    from napari_deconv.io import write_image

    def threads(workers):
        """Return workers that are threads: what the commands do with them is the same."""
        return LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=":0"
        )

    monkeypatch.setattr(cluster, "_local", threads)
    monkeypatch.chdir(tmp_path)
    image, psf, expected = scene
    write_image("in.tif", image, axes="ZYX")
    write_image("psf.tif", psf, axes="ZYX")
    (tmp_path / "recipe.yaml").write_text(
        "napari-deconv recipe: 1\nmethod: richardson-lucy\n"
        "parameters: {iterations: 10, tiles: [6, 16, 16]}\npsf: psf.tif\n"
    )
    more = ["--workers", "2", "--threads", "1", "--quiet"]
    words = ["--psf", "psf.tif", "--iterations", "10", "--tiles", "6", "16", "16", "-o", "a.tif"]
    assert main(["restore", "richardson-lucy", "in.tif", *words, *more]) == 0
    assert main(["run", "recipe.yaml", "in.tif", "-o", "b.tif", *more]) == 0, capsys.readouterr()
    np.testing.assert_array_equal(written("a.tif"), expected)
    np.testing.assert_array_equal(written("b.tif"), expected)
