"""Results written block by block: the same numbers, whatever happens in between."""

import os
import pickle
import subprocess
import sys
import textwrap

import dask.array as da
import numpy as np
import pytest
import zarr

import napari_deconv as nd
from napari_deconv.engine import Job, devices
from napari_deconv.engine.blocks import Settled
from napari_deconv.engine.journal import Journal
from napari_deconv.engine.streaming import is_large, stream, unfinished_blocks
from napari_deconv.errors import FileError, JobError
from napari_deconv.io import Channel, read_image
from napari_deconv.io.lazy import MappedArray, portable
from napari_deconv.registry import Chosen
from problems import gaussian_psf, photographed, spots

PSF = gaussian_psf((5, 9, 9), (1.0, 1.4, 1.4))
STACK = photographed(spots((12, 70, 84), count=60), PSF)
OPTIONS = {"iterations": 3, "tiles": (12, 32, 32), "gain": 1.0, "spacing": (0.2, 0.1, 0.1)}
NAMES = ["r.ome.zarr", "r.tif", "r.ome.tif"]


def job(image=STACK, psf=PSF, **options):
    return Job(image, "richardson-lucy", psf, **{**OPTIONS, **options})


def finish(steps):
    """Return what a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def interrupted(path, blocks, **options):
    """Begin a result and stop after some blocks."""
    steps = stream(job(**options), path)
    for _ in steps:
        begun = unfinished_blocks(path)
        if begun is not None and begun[0] >= blocks:
            break
    steps.close()
    assert unfinished_blocks(path)[0] >= blocks


@pytest.mark.parametrize("name", NAMES)
def test_a_file_holds_what_the_memory_would(tmp_path, name):
    channels = [Channel("red", 0.61, "#ff0000"), Channel("green", 0.52, "#00ff00")]
    image = np.stack([STACK, STACK[::-1]])
    made = finish(stream(job(image), tmp_path / name, axes="CZYX", channels=channels))
    found = read_image(made)
    np.testing.assert_array_equal(found.data, nd.restore(image, "richardson-lucy", PSF, **OPTIONS))
    assert found.axes == "CZYX"
    assert found.spacing == pytest.approx((0.2, 0.1, 0.1))
    assert found.channel_names == ("red", "green")
    assert found.provenance["job"]["method"] == "richardson-lucy"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_result_is_finished(tmp_path, name):
    path = tmp_path / name
    interrupted(path, 4)
    restored = []

    def watched(work, numbers, write):
        for number in numbers:
            write(work.blocks[number], work.restore(number))
            restored.append(number)
            yield number

    finish(stream(job(), path, runner=watched))
    assert 0 < len(restored) <= 9 - 4
    np.testing.assert_array_equal(
        read_image(path).data, nd.restore(STACK, "richardson-lucy", PSF, **OPTIONS)
    )
    assert unfinished_blocks(path) is None


def test_what_was_found_is_not_looked_for_again(tmp_path, monkeypatch):
    path = tmp_path / "r.ome.zarr"
    interrupted(path, 2, iterations="auto", gain="auto", max_iterations=20)
    monkeypatch.setattr(Job, "settle", None)
    again = job(iterations="auto", gain="auto", max_iterations=20)
    finish(stream(again, path))
    monkeypatch.undo()
    whole, details = nd.restore(
        STACK,
        "richardson-lucy",
        PSF,
        details=True,
        **{**OPTIONS, "iterations": "auto", "gain": "auto", "max_iterations": 20},
    )
    np.testing.assert_array_equal(read_image(path).data, whole)
    assert again.details.iterations == details.iterations
    assert again.details.stopped_because == details.stopped_because


def test_another_job_does_not_go_on_with_it(tmp_path):
    path = tmp_path / "r.ome.zarr"
    interrupted(path, 2)
    with pytest.raises(FileError, match="iterations 3 there, 4 here"):
        finish(stream(job(iterations=4), path))
    other = STACK.copy()
    other[6, 35, 42] += 1
    with pytest.raises(FileError, match="another image"):
        finish(stream(job(other), path))
    with pytest.raises(FileError, match="another PSF"):
        finish(stream(job(psf=PSF**1.1), path))
    finish(stream(job(iterations=4), path, overwrite=True))
    expected = nd.restore(STACK, "richardson-lucy", PSF, **{**OPTIONS, "iterations": 4})
    np.testing.assert_array_equal(read_image(path).data, expected)


def test_threads_and_memory_do_not_make_another_job(tmp_path):
    path = tmp_path / "r.tif"
    interrupted(path, 3)
    finish(stream(job(threads=1, memory_limit=1.0), path))
    assert unfinished_blocks(path) is None


def test_a_finished_file_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "r.ome.zarr"
    finish(stream(job(), path))
    with pytest.raises(FileError, match="exists already"):
        finish(stream(job(), path))
    finish(stream(job(iterations=1), path, overwrite=True))
    assert read_image(path).provenance["job"]["parameters"]["iterations"] == 1


def test_an_unfinished_folder_says_so(tmp_path):
    path = tmp_path / "r.ome.zarr"
    interrupted(path, 3)
    found = read_image(path)
    assert any("not finished" in note for note in found.notes)
    done = np.asarray(found.data) != 0
    assert done.any()
    assert not done.all()
    finish(stream(job(), path))
    assert read_image(path).notes == ()


def test_two_processes_do_not_write_one_file(tmp_path):
    path = tmp_path / "r.ome.zarr"
    interrupted(path, 2)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        import json
        import socket

        import psutil

        owner = {
            "host": socket.gethostname(),
            "process": other.pid,
            "began": psutil.Process(other.pid).create_time(),
        }
        (Journal(path).folder / "owner.json").write_text(json.dumps(owner))
        with pytest.raises(FileError, match="another process"):
            finish(stream(job(), path))
    finally:
        other.communicate(b"\n")
    finish(stream(job(), path))


def test_killed_and_run_again_makes_the_same_bytes(tmp_path):
    """SIGKILL while blocks are written, more than once."""
    script = textwrap.dedent(
        """
        import os, signal, sys
        import numpy as np
        from napari_deconv.engine import Job
        from napari_deconv.engine.streaming import stream
        from napari_deconv.io.blockwise import ZarrTarget
        left, image, psf = int(sys.argv[2]), np.load(sys.argv[3]), np.load(sys.argv[4])
        write = ZarrTarget.write
        def torn(self, window, block):
            global left
            if left == 0:
                write(self, window, np.zeros_like(block))
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            write(self, window, block)
        ZarrTarget.write = torn
        job = Job(image, "richardson-lucy", psf, iterations=2, tiles=(12, 32, 32), gain=1.0)
        for _ in stream(job, sys.argv[1]):
            pass
        """
    )
    np.save(tmp_path / "image.npy", STACK)
    np.save(tmp_path / "psf.npy", PSF)

    def run(name, blocks):
        words = [tmp_path / name, str(blocks), tmp_path / "image.npy", tmp_path / "psf.npy"]
        return subprocess.run([sys.executable, "-c", script, *words]).returncode

    assert run("whole.ome.zarr", 99) == 0
    assert run("torn.ome.zarr", 3) < 0
    assert run("torn.ome.zarr", 2) < 0
    assert unfinished_blocks(tmp_path / "torn.ome.zarr")[0] == 5
    assert run("torn.ome.zarr", 99) == 0
    whole, torn = (tmp_path / f"{name}.ome.zarr" for name in ("whole", "torn"))
    files = sorted(f.relative_to(whole) for f in whole.rglob("c/**/*") if f.is_file())
    assert len(files) >= 9
    for file in files:
        assert (whole / file).read_bytes() == (torn / file).read_bytes()


def test_a_mark_that_was_cut_short_does_not_count(tmp_path):
    journal = Journal(tmp_path / "x.tif")
    journal.prepare()
    journal.begin({"blocks": 20})
    journal.mark("1")
    journal.mark("12")
    with (journal.folder / "done.txt").open("ab") as file:
        file.write(b"1")
    assert journal.done() == {"1", "12"}
    journal.mark("5")
    assert journal.done() == {"1", "12", "5"}


def test_memory_that_runs_out_keeps_what_is_done(tmp_path, monkeypatch):
    path = tmp_path / "r.ome.zarr"

    def scarce(work, numbers, write):
        for count, number in enumerate(numbers):
            if count == 2:
                raise MemoryError
            write(work.blocks[number], work.restore(number))
            yield number

    with pytest.raises(JobError, match="after 2 of 9 blocks"):
        finish(stream(job(), path, runner=scarce))
    finish(stream(job(), path))
    # Where nothing is done yet, smaller blocks are tried.
    asked = []

    def scarcer(work, numbers, write):
        asked.append(len(work.blocks))
        if len(asked) == 1:
            raise MemoryError
        for number in numbers:
            write(work.blocks[number], work.restore(number))
            yield number

    monkeypatch.setattr(devices, "free_memory", lambda device: 200_000_000)
    free = job(tiles="auto")
    finish(stream(free, tmp_path / "s.ome.zarr", runner=scarcer))
    assert len(asked) == 2
    assert any("ran out of memory" in words for words in free.details.warnings)


def test_chunks_belong_to_one_block(tmp_path):
    big = np.tile(STACK, (1, 5, 5))
    free = job(big, tiles="auto", memory_limit=0.06)
    finish(stream(free, tmp_path / "r.ome.zarr"))
    level = zarr.open(tmp_path / "r.ome.zarr" / "0", mode="r")
    tile = free.details.tiles
    assert free.details.blocks > 4
    for chunk, size, length in zip(level.chunks, tile, big.shape, strict=True):
        assert size % chunk == 0 or size >= length
        assert chunk >= min(32, length)


def test_a_pyramid_of_pieces_is_that_of_the_whole(tmp_path):
    image = np.tile(STACK[:2], (1, 9, 8))[:, :601, :643]
    options = {"tiles": (2, 320, 320), "iterations": 1}
    finish(stream(job(image, **options), tmp_path / "r.ome.zarr"))
    levels = [zarr.open(tmp_path / "r.ome.zarr" / n, mode="r")[...] for n in "01"]
    even = levels[0][:, :600, :642].reshape(2, 300, 2, 321, 2)
    np.testing.assert_allclose(levels[1], even.mean(axis=(2, 4)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["memmap", "dask", "zarr", "numpy", "uint16"])
def test_blocks_travel(tmp_path, kind):
    """Another process restores the same from a pickle, which is small unless it has to be large."""
    image = STACK.astype(np.uint16) if kind == "uint16" else STACK
    given = image
    if kind == "memmap":
        np.save(tmp_path / "image.npy", np.tile(image, (30, 1, 1)))
        given = np.load(tmp_path / "image.npy", mmap_mode="r")[24:36]
        image = np.array(given)
    elif kind == "dask":
        given = da.from_array(image, chunks=(12, 40, 40))
    elif kind == "zarr":
        given = zarr.array(image, chunks=(12, 40, 40), store=str(tmp_path / "image.zarr"))
    own = job(given)
    finish(own.settle())
    told = pickle.dumps(own.work)
    if kind in ("memmap", "zarr"):
        assert len(told) < 30_000
    work = pickle.loads(told)
    whole = nd.restore(image, "richardson-lucy", PSF, **OPTIONS)
    for number in (0, 5):
        np.testing.assert_array_equal(work.restore(number), whole[work.blocks[number].window])


@pytest.mark.parametrize("automatic", ["background", "offset", "gain", "read_noise"])
def test_what_was_automatic_travels_as_it_was_found(automatic):
    """A camera's image: haze, and an offset whose share of an automatic background has no noise."""
    image = (2 * STACK + 100).astype(np.float32)
    options = {"iterations": 4, "tiles": OPTIONS["tiles"], automatic: "auto"}
    own = Job(image, "richardson-lucy", PSF, **options)
    finish(own.settle())
    work = pickle.loads(pickle.dumps(own.work))
    whole = nd.restore(image, "richardson-lucy", PSF, **options)
    np.testing.assert_array_equal(work.restore(0), whole[work.blocks[0].window])


def test_what_is_settled_survives_json():
    settled = Settled(
        (3, 4),
        {"a": Chosen.among(0.1, [0.1, 1.0], [3.0, 2.0], "score"), "b": (1, 2.5), "c": {5: 0.05}},
        gain=0.1 + 0.2,
        levels=(1 / 3,),
        exchange=2,
    )
    again = Settled.from_json(settled.to_json())
    assert again == settled
    assert isinstance(again.parameters["a"], Chosen)
    assert again.parameters["a"].values == (0.1, 1.0)


def test_the_public_function_writes_and_returns_what_is_in_the_file(tmp_path):
    path = tmp_path / "r.tif"
    made = nd.restore(STACK, "richardson-lucy", PSF, output=path, **OPTIONS)
    assert not isinstance(made, np.ndarray)
    expected = nd.restore(STACK, "richardson-lucy", PSF, **OPTIONS)
    np.testing.assert_array_equal(made[3:5, 10:20], expected[3:5, 10:20])


def test_large_is_what_does_not_fit_comfortably():
    assert not is_large(job(memory_limit=1.0))
    assert is_large(job(np.tile(STACK, (1, 3, 4)), memory_limit=0.01))


def test_a_mapped_array_is_the_array(tmp_path):
    data = np.arange(2 * 3 * 5 * 7, dtype=">u2").reshape(2, 3, 5, 7)
    (tmp_path / "raw").write_bytes(b"head" * 999 + data.tobytes())
    mapped = MappedArray(tmp_path / "raw", data.shape, data.dtype, 4 * 999)
    turned = mapped.transpose([1, 0, 3, 2])
    np.testing.assert_array_equal(turned, data.transpose(1, 0, 3, 2))
    np.testing.assert_array_equal(
        turned[1, :, 2:4, ::2], data.transpose(1, 0, 3, 2)[1, :, 2:4, ::2]
    )
    view = np.memmap(tmp_path / "raw", ">u2", "r", 4 * 999, data.shape)[1:, :, 2:, ::3]
    assert isinstance(portable(view), MappedArray)
    np.testing.assert_array_equal(portable(view), view)
    with pytest.raises(FileError, match="cannot be read"):
        MappedArray(tmp_path / "gone", (2,), np.dtype("u1"))[0]


@pytest.mark.parametrize("method", ["richardson-lucy", "wiener", "tikhonov", "fista"])
def test_what_is_read_later_and_shows_nothing_stays_as_it_is(method):
    image = da.full((48, 50), 7.0, chunks=16, dtype=np.float32)
    result = nd.restore(image, method, np.ones((5, 5)) / 25, read_noise=0.0)
    np.testing.assert_allclose(result, 7, rtol=1e-3)


def test_what_is_read_later_and_too_bright_says_so():
    image = da.full((48, 50), 1e20, chunks=16, dtype=np.float32)
    with pytest.raises(nd.InputError, match="large as 1e\\+20"):
        nd.restore(image, "richardson-lucy", np.ones((5, 5)) / 25)
