"""The sign of the even modes: in a z-stack whose aberrations are known."""

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve

from napari_deconv.errors import InputError, ParameterError
from napari_deconv.identification import identify_stack, stack
from napari_deconv.identification.optics import EVEN, MODES, Pupils, even_twin
from napari_deconv.optics.microscope import Microscope
from napari_deconv.optics.pupil_field import PupilModel
from napari_deconv.training.blind_scenes import dead_leaves

OPTICS = {"numerical_aperture": 1.2, "emission_wavelength": 0.6}
SPACING = (0.3, 0.1, 0.1)
TRUE = np.array([-0.1, 0.06, 0.08, 0.12, -0.05, 0.02, -0.09, -0.06])


def psfs(coefficients, heights, side=63):
    """Return PSFs at heights, um; 0.1 um a pixel is the trained cutoff."""
    water = Microscope(**OPTICS, immersion_index=1.33, sample_index=1.33)
    shape, z = (len(heights), side, side), list(heights)
    model = PupilModel(water, shape, SPACING, z=z, indices=MODES, pixel_integration=False)
    return model.psf(torch.from_numpy(coefficients).float()).numpy()


def stack_of(coefficients, planes=5, size=200, sigma=0.003, seed=3, step=SPACING[0]):
    """Return a z-stack of a thin scene, in focus in its middle."""
    random = np.random.default_rng(seed)
    thing = dead_leaves(size + 62, random)
    heights = step * (np.arange(planes) - planes // 2)
    image = np.stack([fftconvolve(thing, psf, "valid") for psf in psfs(coefficients, heights)])
    return (image + sigma * random.normal(size=image.shape)).astype(np.float32)


def odds(image, coefficients, heights):
    planes = torch.from_numpy(image.astype(np.float64))
    return stack.sign_odds(planes, heights, coefficients, **OPTICS)


def test_the_twin_is_the_stack_upside_down():
    heights = (-0.5, 0.0, 0.5)
    ours, twins = psfs(TRUE, heights), psfs(even_twin(TRUE), heights)
    np.testing.assert_allclose(twins, ours[::-1], atol=1e-6)
    assert np.abs(ours[0] - ours[2]).max() > 0.1 * ours.max()
    plain = Pupils(0.2, (63, 63)).psf(torch.from_numpy(TRUE[None]).float())[0].numpy()
    np.testing.assert_allclose(ours[1] / ours[1].sum(), plain, atol=0.02 * plain.max())


@pytest.mark.parametrize("sigma", [0.0, 0.02])
@pytest.mark.parametrize("truth", [TRUE, even_twin(TRUE)], ids=["this sign", "the other"])
def test_the_true_sign_is_the_likelier_one(truth, sigma):
    heights = 0.3 * np.arange(-2, 3)
    image = stack_of(truth, sigma=sigma)
    assert odds(image, TRUE, heights) * (1 if truth is TRUE else -1) > 2
    # Nor does the order of what is asked matter, nor the stack's brightness or bleaching.
    faded = image * np.linspace(700, 500, 5, dtype=np.float32)[:, None, None]
    assert odds(faded, TRUE, heights) * odds(image, TRUE, heights) > 0
    assert odds(image, even_twin(TRUE), heights) == pytest.approx(-odds(image, TRUE, heights))


def test_one_side_is_enough():
    image = stack_of(TRUE, sigma=0.0)
    assert odds(image[2:], TRUE, 0.3 * np.arange(3)) > 2


def test_without_even_modes_or_light_nothing_is_told():
    odd = np.where([j in EVEN for j in MODES], 0.0, TRUE)
    heights = 0.3 * np.arange(-2, 3)
    assert odds(stack_of(odd), odd, heights) == pytest.approx(0, abs=1e-6)
    noise = np.random.default_rng(0).normal(size=(5, 128, 128))
    assert abs(odds(noise, TRUE, heights)) < 1


def test_planes_near_by_are_chosen():
    assert stack.neighbours(21, 10, 0.3, 0.55) == [8, 9, 10, 11, 12]
    assert stack.neighbours(21, 1, 0.3, 0.55) == [0, 1, 2, 3]
    assert stack.neighbours(100, 50, 0.05, 0.55) == list(range(34, 67, 4))
    assert stack.neighbours(21, 10, 2.0, 0.55) == [10]


class TestIdentifyStack:
    @pytest.mark.parametrize("truth", [TRUE, even_twin(TRUE)], ids=["this sign", "the other"])
    def test_the_aberrations_have_their_sign(self, truth):
        found = identify_stack(stack_of(truth, sigma=0.0), spacing=SPACING, plane=2, **OPTICS)
        assert found.sign_probability > 0.9
        assert "show the sign" in found.verdict
        got = np.array([found.coefficients[j] for j in MODES])
        np.testing.assert_allclose(got, truth, atol=0.04)
        np.testing.assert_allclose([found.nanometres[j] for j in MODES], 600 * got, rtol=1e-5)
        assert found.candidates[0].coefficients == pytest.approx(found.coefficients, abs=1e-6)

    def test_planes_too_far_apart_leave_it_open(self):
        image = stack_of(TRUE, planes=3, step=2.0)
        found = identify_stack(image, spacing=(2.0, 0.1, 0.1), plane=1, **OPTICS)
        assert found.sign_probability == 0.5
        assert "too far" in found.verdict
        assert max(found.coefficients[j] for j in EVEN) == max(
            abs(found.coefficients[j]) for j in EVEN
        )

    def test_what_is_no_stack_is_refused(self):
        plane = np.zeros((64, 64), np.float32)
        with pytest.raises(InputError, match="z-stack"):
            identify_stack(plane, spacing=SPACING, **OPTICS)
        with pytest.raises(ParameterError, match="plane"):
            identify_stack(np.ones((3, 64, 64)), spacing=SPACING, plane=3, **OPTICS)
