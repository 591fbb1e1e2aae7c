"""The passes of iterative shrinkage: the compiled loops against torch."""

import pytest
import torch

from napari_deconv.methods.fista import fista
from napari_deconv.methods.ista import ista
from napari_deconv.operators import shrinkage
from napari_deconv.operators.convolution import Convolution
from problems import gaussian_psf


@pytest.mark.parametrize("method", [ista, fista])
@pytest.mark.parametrize("spin", [True, False])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize(("shape", "borders"), [((17, 20), "circular"), ((6, 9, 11), "extended")])
def test_compiled_and_plain_loops_agree(shape, borders, positive, spin, method, monkeypatch):
    blur = Convolution(gaussian_psf((5,) * len(shape), 1.2), shape, borders)
    data = torch.randn(shape, generator=torch.Generator().manual_seed(0)).add_(1)

    def last():
        options = {"strength": 0.05, "level": 1.0, "positive": positive, "cycle_spinning": spin}
        *_, estimate = method(data, blur, iterations=12, **options)
        return estimate.clone()

    found = last()
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", "off")
    torch.testing.assert_close(found, last(), rtol=1e-4, atol=1e-5)
    assert bool((found < 0).any()) != positive


@pytest.mark.parametrize("loops", ["auto", "off"])
@pytest.mark.parametrize("shape", [(9, 12), (6, 8, 10)])
def test_the_approximation_is_left_alone(shape, loops, monkeypatch):
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", loops)
    before = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    approximation = tuple(slice(n // 2) for n in shape)
    found = before.clone()
    shrinkage.soften(found, 0.4, approximation)
    expected = before.sign() * (before.abs() - 0.4).clamp(min=0)
    expected[approximation] = before[approximation]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("loops", ["auto", "off"])
def test_what_runs_ahead_tells_when_it_went_too_far(loops, monkeypatch):
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", loops)
    generator = torch.Generator().manual_seed(3)
    new, estimate, point, mean = torch.randn((4, 5, 6, 7), generator=generator)
    there = new.clamp(min=0)
    expected = float(((point - there) * (there - estimate)).sum())
    ahead, nearer = there + 0.7 * (there - estimate), mean + 0.25 * (there - mean)
    options = {"positive": True, "mean": mean, "share": 0.25, "point": point, "ahead": 0.7}
    assert shrinkage.move(new, estimate, **options) == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(estimate, there)
    torch.testing.assert_close(point, ahead)
    torch.testing.assert_close(mean, nearer)
