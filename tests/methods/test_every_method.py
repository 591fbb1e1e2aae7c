"""What holds for every method, read from the registry: so for those that come, too."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

import napari_deconv as nd
from napari_deconv.registry import methods

pytestmark = pytest.mark.filterwarnings("ignore:The naive inverse filter")

ENTRIES = [entry for entry in methods().values() if entry.group != "learned"]
STRENGTHS = [
    (entry.id, name)
    for entry in ENTRIES
    for name, parameter in entry.parameters.items()
    if parameter.range.logarithmic
]
VALUES = [1e-8, 1e-5, 1e-2, 1.0, 1e2]


def problem(shape):
    generator = np.random.default_rng(0)
    axes = np.ogrid[tuple(slice(-2, 3) for _ in shape)]
    psf = np.exp(-sum(a.astype(float) ** 2 for a in axes) / 2)
    truth = np.zeros(shape)
    truth[tuple(n // 2 for n in shape)] = 800
    truth[tuple(n // 3 for n in shape)] = 500
    truth += 3
    spectrum = np.fft.rfftn(truth) * np.fft.rfftn(_wrapped(psf / psf.sum(), shape))
    image = generator.poisson(np.fft.irfftn(spectrum, shape, range(len(shape))).clip(0))
    return image.astype(np.float32), psf


def _wrapped(psf, shape):
    whole = np.zeros(shape)
    whole[tuple(slice(n) for n in psf.shape)] = psf
    return np.roll(whole, [-(n // 2) for n in psf.shape], range(psf.ndim))


def few(entry, **options):
    """Return options that keep a method short."""
    return options | ({"iterations": 8} if entry.iterative else {})


@pytest.mark.parametrize("shape", [(40, 37), (9, 24, 25)])
@pytest.mark.parametrize(("method", "name"), STRENGTHS, ids=lambda v: str(v))
def test_any_strength_gives_numbers(method, name, shape):
    image, psf = problem(shape)
    entry = methods()[method]
    bounds = entry.parameters[name].range
    for value in VALUES:
        if not (bounds.lower or 0) <= value <= (bounds.upper or np.inf):
            continue
        result = nd.restore(image, method, psf, **few(entry, **{name: value}))
        assert np.isfinite(result).all(), f"{name}={value}"
        assert result.shape == image.shape
        assert result.dtype == np.float32


@pytest.mark.parametrize("borders", ["extended", "reflect", "circular", "zero"])
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.id)
def test_every_border(entry, borders):
    image, psf = problem((36, 33))
    result = nd.restore(image, entry.id, psf, borders=borders, **few(entry))
    assert np.isfinite(result).all()
    # It is the image that is restored, not something else; no method may turn it upside down.
    assert np.corrcoef(result.ravel(), image.ravel())[0, 1] > 0.2 or entry.id == "naive-inverse"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.id)
def test_the_unit_of_intensity_does_not_matter(entry):
    image, psf = problem((36, 32))
    own = {
        name: parameter.search.middle
        for name, parameter in entry.parameters.items()
        if parameter.search is not None
    }
    options = few(entry, borders="circular", **own)
    one = nd.restore(image, entry.id, psf, **options)
    other = nd.restore(64 * image, entry.id, psf, **options)
    np.testing.assert_allclose(other / 64, one, atol=5e-3 * np.abs(one).max())


@pytest.mark.parametrize("brightest", [2e-12, 4e14])
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.id)
def test_what_is_automatic_does_not_depend_on_it_either(entry, brightest):
    image, psf = problem((36, 32))
    one = nd.restore(image, entry.id, psf, **few(entry))
    # A power of two: others round voxels, and groups of as bright ones would be other groups.
    unit = np.float32(2.0 ** round(np.log2(brightest / image.max())))
    other, details = nd.restore(unit * image, entry.id, psf, details=True, **few(entry))
    np.testing.assert_allclose(other / unit, one, atol=1e-3 * np.abs(one).max())
    again = nd.restore(unit * image, entry.id, psf, **details.parameters)
    np.testing.assert_array_equal(again, other)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.id)
def test_a_person_can_choose_it(entry):
    """A sentence on when to use it, its paper, and what each parameter does."""
    assert entry.group in ("fast", "linear", "statistical", "sparse")
    assert 20 < len(entry.summary) < 200
    assert entry.summary.endswith(".")
    assert any("doi" in cite or re.search(r"\d{4}", cite) for cite in entry.cites)
    for parameter in entry.parameters.values():
        assert parameter.help, parameter.name
    strengths = [p for p in entry.parameters.values() if p.range.logarithmic and not p.advanced]
    for parameter in strengths:
        assert parameter.allows_auto or entry.id == "naive-inverse", parameter.name
    assert inspect.getdoc(entry.function)
