"""Windows under which an image fades towards its borders."""

import pytest
import torch

from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.fading import fades
from problems import gaussian_psf

PSF = gaussian_psf((5, 5), 1.0)


def test_it_fades_where_the_image_ends():
    blur = Convolution(PSF, (20, 32), ("circular", "extended"))
    (window,) = fades(blur, (20, 32), 0.5)
    assert window.shape == (1, 32)
    assert torch.equal(window, window.flip(1))
    assert 0 < float(window[0, 0]) < 0.1
    assert float(window[0, 9:23].min()) == 1.0


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_a_part_of_a_circular_image_ends_too(share):
    blur = Convolution(PSF, (20, 32), "circular")
    assert fades(blur, (20, 32), share) == []
    first, second = fades(blur, (10, 16), share)
    assert first.shape == (10, 1)
    assert second.shape == (1, 16)


def test_a_single_plane_stays():
    blur = Convolution(PSF[None], (1, 20, 20), "extended")
    assert float(fades(blur, (1, 20, 20), 0.5)[0].squeeze()) == 1.0
