"""Files that go with an image: the PSF and the background are what they have to be, or say so."""

from pathlib import Path

import numpy as np
import pytest

from napari_deconv.errors import InputError
from napari_deconv.io import ImageFile
from napari_deconv.io.companions import background_in, check_dimensions, psfs_in

STACK = ImageFile(Path("stack.tif"), np.zeros((4, 8, 8)), "ZYX")
PLANES = ImageFile(Path("film.tif"), np.zeros((4, 8, 8)), "TYX")


def test_a_file_with_channels_holds_a_psf_for_each():
    found = psfs_in(ImageFile(Path("psf.tif"), np.arange(2 * 60).reshape(2, 3, 4, 5), "CZYX"))
    assert [psf.shape for psf in found] == [(3, 4, 5)] * 2
    assert found[1][0, 0, 0] == 60


def test_a_time_series_is_no_psf():
    with pytest.raises(InputError, match=r"film\.tif is a time series"):
        psfs_in(PLANES)


def test_a_stack_cannot_be_the_psf_of_planes():
    psfs = psfs_in(STACK)
    check_dimensions(STACK.path, psfs, STACK)
    with pytest.raises(InputError, match=r"film\.tif has planes without a z axis"):
        check_dimensions(STACK.path, psfs, PLANES)


def test_a_background_has_the_image_s_shape():
    assert background_in(PLANES, STACK) is PLANES.data
    with pytest.raises(InputError, match="have to be the same"):
        background_in(ImageFile(Path("haze.tif"), np.zeros((8, 8)), "YX"), STACK)
