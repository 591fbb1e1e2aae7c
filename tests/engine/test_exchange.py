"""Blocks that exchange halos: one piece, but for rounding."""

import numpy as np
import pytest

import napari_deconv as nd
from napari_deconv.errors import ParameterError
from napari_deconv.io import read_image
from problems import gaussian_psf, photographed, relative_rmse, spots

PSF = gaussian_psf((5, 9, 10), (1.0, 1.4, 1.7), shift=0.4)
PSF[1, 2, 3] += 0.05
STACK = photographed(spots((14, 60, 75), count=80, margin=0), PSF)
OPTIONS = {"iterations": 8, "gain": 1.0}


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("richardson-lucy", {}),
        ("richardson-lucy", {"background": 2.0, "offset": 0.5}),
        ("richardson-lucy", {"background": 2.0, "read_noise": 1.5}),
        ("landweber", {}),
    ],
)
def test_tiles_agree_with_one_piece(method, options, every):
    whole = nd.restore(STACK, method, PSF, **OPTIONS, **options)
    tiles = {"tiles": (7, 30, 40), **OPTIONS, **options}
    exact, details = nd.restore(STACK, method, PSF, details=True, halo_exchange=every, **tiles)
    assert details.blocks == 8
    assert details.iterations == 8
    assert relative_rmse(exact, whole) < 2e-6
    # The proof that it is the exchange which does it.
    assert relative_rmse(nd.restore(STACK, method, PSF, **tiles), whole) > 2e-5


def test_channels_with_psfs_of_their_own(tmp_path):
    image, psfs = np.stack([STACK, STACK[::-1]]), [PSF, gaussian_psf((3, 7, 7), (0.7, 1.1, 1.1))]
    whole = nd.restore(image, "richardson-lucy", psfs, **OPTIONS)
    tiles = {"tiles": (14, 32, 32), "halo_exchange": 2, **OPTIONS}
    exact = nd.restore(image, "richardson-lucy", psfs, **tiles)
    assert relative_rmse(exact, whole) < 2e-6
    path = tmp_path / "r.ome.zarr"
    nd.restore(image, "richardson-lucy", psfs, output=path, **tiles)
    assert relative_rmse(np.asarray(read_image(path).data), whole) < 2e-6


def test_an_interrupted_exchange_is_taken_up(tmp_path):
    path, seen = tmp_path / "r.tif", []
    options = {"tiles": (14, 32, 32), "halo_exchange": 2, **OPTIONS}

    def stop(step):
        seen.append(step)
        if step.fraction > 0.45:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nd.restore(STACK, "richardson-lucy", PSF, output=path, callback=stop, **options)
    nd.restore(STACK, "richardson-lucy", PSF, output=path, **options)
    whole = nd.restore(STACK, "richardson-lucy", PSF, **options)
    np.testing.assert_array_equal(read_image(path).data, whole)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("richardson-lucy-tv", {}, "cannot exchange halos"),
        ("richardson-lucy", {"acceleration": "nesterov"}, "acceleration='none'"),
        ("richardson-lucy", {"borders": "reflect"}, "borders='extended'"),
        ("richardson-lucy", {"start": "data"}, "start='flat'"),
    ],
)
def test_what_cannot_be_exact_says_so(method, options, message):
    with pytest.raises(ParameterError, match=message):
        nd.restore(STACK, method, PSF, halo_exchange=1, **OPTIONS, **options)


def test_dark_blocks_begin_with_the_whole_images_light():
    """With a background above the darkest voxels a block's own mean would be no light at all."""
    whole = nd.restore(STACK, "richardson-lucy", PSF, background=2.0, offset=0.5, **OPTIONS)
    tiles = {"tiles": (14, 24, 24), "background": 2.0, "offset": 0.5, **OPTIONS}
    assert relative_rmse(nd.restore(STACK, "richardson-lucy", PSF, **tiles), whole) < 1e-3
