"""PSFs that change over the field, found in an image whose field is known."""

import numpy as np
import pytest
import torch

from napari_deconv.errors import InputError
from napari_deconv.identification import fit, identify, identify_field, prior, spectrum
from napari_deconv.identification.field import FieldModel, find_field, terms, windows
from napari_deconv.identification.optics import MODES, Pupils, pupils
from napari_deconv.operators.product_convolution import ProductConvolution
from napari_deconv.optics.variant import VariantPsf
from napari_deconv.training.blind_scenes import dead_leaves

SIDE = 200


def field_at(y, x):
    """Coefficients at a place from 0 to 1."""
    middle = np.array([0.06, -0.05, 0.05, 0.06, -0.04, 0.02, -0.05, 0.03])
    slope = np.array([0.08, 0.0, -0.08, 0.08, 0.06, 0.0, 0.0, 0.0])
    return middle + slope * (2 * x - 1) - 0.04 * (np.arange(len(MODES)) == 1) * (2 * y - 1)


@pytest.fixture(scope="module")
def image():
    grid = np.linspace(0, 1, 5)
    places = np.array([(y, x) for y in grid for x in grid])
    coefficients = np.array([field_at(y, x) for y, x in places])
    psfs = Pupils(0.2).psf(torch.from_numpy(coefficients).float()).numpy()
    shape = (SIDE, SIDE)
    truth = VariantPsf.from_psfs(psfs, places * (SIDE - 1), shape, align=False, tolerance=0.003)
    blur = ProductConvolution(truth.components, truth.weights, shape)
    scene = dead_leaves(max(blur.object_shape), np.random.default_rng(3)).astype(np.float32)
    thing = torch.from_numpy(scene[: blur.object_shape[0], : blur.object_shape[1]].copy())
    return blur(thing).numpy(), truth


@pytest.fixture(scope="module")
def found(image):
    return identify_field(image[0], cutoff=0.2)


def signal(psf, truth):
    return -10 * np.log10(((psf - truth) ** 2).sum() / (truth**2).sum())


def over_field(at, truth):
    places = [(y, x) for y in (20, 100, 180) for x in (20, 100, 180)]
    return np.mean([signal(at(place), truth.at(place)) for place in places])


def test_it_is_nearer_than_one_psf_for_all(image, found):
    seen, truth = image
    one = identify(seen, cutoff=0.2).psf
    assert over_field(found.psf.at, truth) > over_field(lambda place: one, truth) + 2
    assert found.degree > 0
    assert "changes over the field" in found.verdict
    assert found.confidence > 0.5


def test_it_says_what_it_found(found):
    assert set(found.coefficients) == set(MODES)
    assert all(values.shape == (5, 5) for values in found.coefficients.values())
    assert [p[-1] for p in found.places] == [SIDE - 1, SIDE - 1]
    assert found.strehl.shape == (5, 5)
    assert found.strehl.max() <= 1
    assert found.psf.image_shape == (SIDE, SIDE)


def test_a_field_of_any_degree_contains_those_below():
    places = np.random.default_rng(0).random((7, 2))
    for degree in (1, 2):
        lower = terms(places, degree - 1)
        assert torch.equal(terms(places, degree)[:, : lower.shape[1]], lower)


@pytest.mark.parametrize("shape", [(60, 300), (97, 130), (1000, 512)])
def test_windows_cover_the_image(shape):
    seen = np.zeros(shape, int)
    for piece in windows(shape):
        seen[piece] += 1
    assert seen.min() >= 1


def test_the_gradient_is_that_of_the_squares(image):
    parts = [image[0][:96, :96], image[0][50:146, 80:176]]
    spectra = [spectrum.spectrum_of(torch.from_numpy(part.astype(float))) for part in parts]
    known = prior.load()
    models = [fit.Model(each, known, pupils(0.2, (31, 31)), 0.15) for each in spectra]
    at = terms(np.array([[0.2, 0.2], [0.5, 0.6]]), 1)
    model = FieldModel(models, at, at)
    generator = torch.Generator().manual_seed(0)
    numbers = 0.5 * torch.randn(1, model.unknowns, generator=generator)
    weights = model.weights(model.share(numbers))
    _, _, gradient, squares = model.linear(numbers, weights)
    assert float(squares) == pytest.approx(float(model.squares(numbers, weights)), rel=1e-4)
    step = 3e-3 * torch.nn.functional.normalize(gradient)
    after, before = (model.squares(numbers + s, weights) for s in (step, -step))
    assert float(after - before) / 4 == pytest.approx(float((gradient * step).sum()), rel=0.02)


def test_objects_are_eliminated_exactly(image):
    spectra = [spectrum.spectrum_of(torch.from_numpy(image[0].astype(float)))] * 3
    models = [fit.Model(each, prior.load(), pupils(0.2, (31, 31)), 0.15) for each in spectra]
    at = terms(np.array([[0.2, 0.2], [0.5, 0.6], [0.9, 0.3]]), 1)
    model = FieldModel(models, at, at)
    numbers = 0.3 * torch.randn(2, model.unknowns, generator=torch.Generator().manual_seed(1))
    _, normal, gradient, _ = model.linear(numbers, model.weights(model.share(numbers)))
    matrix = normal + torch.eye(model.unknowns)
    # numpy's: torch 2.13 on two threads of a CPU gets LU of so many rows wrong.
    expected = np.linalg.solve(matrix.double().numpy(), gradient.double().numpy()[..., None])
    found = model.solve(matrix, gradient).numpy()
    np.testing.assert_allclose(found, expected[..., 0], rtol=1e-2, atol=1e-3)


def test_the_same_seed_the_same_field(image):
    plane = torch.from_numpy(image[0][:96, :96].astype(float))
    first, second = (find_field(plane, prior.load(), 0.15, seed=3) for _ in range(2))
    assert torch.equal(first.fit.coefficients, second.fit.coefficients)


def test_frames_are_refused():
    with pytest.raises(InputError, match="one plane"):
        identify_field(np.random.default_rng(0).random((3, 128, 128)), cutoff=0.2)
