"""How much memory is free to this process, and that a job keeps to what it is allowed."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from napari_deconv.engine import Job, memory
from problems import gaussian_psf, photographed, spots


def group(folder, names, limit, used, cached):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"other 5\n{names[2]} {cached}\n")


NEW = ("memory.max", "memory.current", "inactive_file")
OLD = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def test_limits_of_containers_count(tmp_path):
    groups = tmp_path / "cgroup"
    groups.write_text("0::/jobs/one\n")
    group(tmp_path / "jobs", NEW, 1000, 700, 100)
    group(tmp_path / "jobs/one", NEW, "max", 600, 0)
    assert memory._container(groups, tmp_path) == [400]
    groups.write_text("5:cpu,cpuacct:/x\n4:memory:/jobs\n")
    group(tmp_path / "memory/jobs", OLD, 2000, 500, 0)
    group(tmp_path / "memory", OLD, 1 << 62, 500, 0)
    assert memory._container(groups, tmp_path) == [1500]
    assert memory._container(tmp_path / "none", tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits")
def test_limits_of_the_process_count():
    script = """
        import resource
        from napari_deconv.engine import memory
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
        print(memory.available())
    """
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert (1 << 29) < int(told.stdout) < (1 << 30)


PSF = gaussian_psf((5, 9, 9), (1.0, 1.4, 1.4))


def test_a_limit_is_for_all_that_the_job_takes():
    image = photographed(spots((16, 200, 200), count=60), PSF).astype(np.uint16)
    image = np.tile(image, (1, 2, 2))
    limits = {"memory_limit": 0.07, "iterations": 2}
    in_memory, in_file = (Job(image, "richardson-lucy", PSF, **limits) for _ in range(2))
    in_file.to_file = True
    for each in (in_memory, in_file):
        assert each.forecast.memory_bytes <= 0.07e9
        assert each.forecast.blocks > 1
    # A larger result leaves less for each block.
    large = np.tile(image, (1, 1, 2))
    small = Job(large, "richardson-lucy", PSF, **limits).forecast
    assert np.prod(small.tiles) < np.prod(in_memory.forecast.tiles)


def test_a_limit_that_is_too_small_is_told():
    image = photographed(spots((16, 120, 120), count=60), PSF)
    job = Job(image, "richardson-lucy", PSF, memory_limit=0.01, iterations=1)
    for _ in job.steps():
        pass
    assert any("more than the 0.01 GB allowed" in words for words in job.details.warnings)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts so")
def test_a_volume_is_restored_in_less_memory_than_it_takes(tmp_path):
    """280 MB as float32, restored in 250 MB beyond what the programs take."""
    script = """
        import resource, sys
        import numpy as np, psutil, torch, zarr, scipy.ndimage
        from napari_deconv.engine import Job
        from napari_deconv.engine.streaming import stream
        from napari_deconv.io import read_image
        from napari_deconv.operators import fft
        fft.backend(); torch.fft.rfftn(torch.ones((8, 8, 8)))
        psf = np.load(sys.argv[1])
        image = read_image(sys.argv[2]).data
        assert image[:, :600, :600].any()  # starts all threads
        most = psutil.Process().memory_info().data + 250_000_000
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        job = Job(image, "richardson-lucy", psf, iterations=1, gain=1.0, spacing=(1, 1, 1))
        for _ in stream(job, sys.argv[3]):
            pass
        print(job.details.blocks)
    """
    from napari_deconv.io import write_image

    tile = photographed(spots((16, 160, 160), count=60), PSF).astype(np.uint16)
    write_image(tmp_path / "in.ome.zarr", np.tile(tile, (1, 13, 13)), axes="ZYX", spacing=(1, 1, 1))
    np.save(tmp_path / "psf.npy", PSF)
    words = [tmp_path / name for name in ("psf.npy", "in.ome.zarr", "out.ome.zarr")]
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *words], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) > 4
