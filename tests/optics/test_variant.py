"""The PSF at every place, from PSFs at some."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_deconv.errors import FileError, InputError, ParameterError
from napari_deconv.operators.product_convolution import ProductConvolution
from napari_deconv.optics.beads import find_beads
from napari_deconv.optics.variant import VariantPsf, variant_from_beads
from problems import gaussian_psf
from variant_field import blurred, corner_psfs, grid_places

SHAPE = (72, 64)
MILD = 0.06  # in the corners 0.11 waves rms: the mean PSF is wrong by 4 %


@pytest.fixture(scope="module")
def model():
    places = grid_places(SHAPE, 11)
    return VariantPsf.from_psfs(
        corner_psfs(places, SHAPE, strength=MILD), places, SHAPE, tolerance=1e-3, align=False
    )


def test_reproduces_direct_summation(model):
    """Against the blur made voxel by voxel: 1e-3, with so many terms."""
    import torch

    obj = np.random.default_rng(0).random(SHAPE)
    exact = blurred(obj, lambda places: corner_psfs(places, SHAPE, strength=MILD))
    blur = ProductConvolution(
        model.components, model.weights, SHAPE, "zero", order=model.order, dtype=torch.float64
    )
    found = blur(torch.from_numpy(obj)).numpy()
    error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    assert error <= 1e-3
    assert 4 <= len(model.components) <= 20
    assert model.residual <= 1e-3
    mean = ProductConvolution(
        model.mean[None], lambda p: np.ones((1, 1, 1)), SHAPE, "zero", dtype=torch.float64
    )
    worse = np.linalg.norm(mean(torch.from_numpy(obj)).numpy() - exact) / np.linalg.norm(exact)
    assert worse > 20 * error


def test_at_a_place_between(model):
    place = (13.4, 50.7)
    exact = corner_psfs([place], SHAPE, strength=MILD)[0]
    assert np.linalg.norm(model.at(place) - exact) < 5e-3 * np.linalg.norm(exact)
    assert model.at(place).sum() == pytest.approx(1, abs=1e-5)


def test_terms_and_residual():
    places = grid_places(SHAPE, 5)
    psfs = corner_psfs(places, SHAPE, strength=MILD)
    loose, tight = (
        VariantPsf.from_psfs(psfs, places, SHAPE, tolerance=t, align=False) for t in (0.02, 0.005)
    )
    assert 1 < len(loose.components) < len(tight.components)
    assert tight.residual <= 0.005 < loose.residual <= 0.02
    three = VariantPsf.from_psfs(psfs, places, SHAPE, terms=3, align=False)
    assert len(three.components) == 3
    found = np.array(
        [
            np.tensordot(three.weights([np.array([y]), np.array([x])]).ravel(), three.components, 1)
            for y, x in places
        ]
    )
    error = np.linalg.norm(found - psfs) / np.linalg.norm(psfs)
    assert error == pytest.approx(three.residual, rel=0.02)


def test_equal_psfs_need_one_term():
    psf = gaussian_psf((9, 9), 1.5)
    model = VariantPsf.from_psfs([psf] * 4, grid_places(SHAPE, 2), SHAPE)
    assert len(model.components) == 1
    assert_allclose(model.at((3, 60)), psf, atol=1e-6)


def test_along_depth_only():
    depths = np.array([0.0, 5.0, 10.0, 15.0, 19.0])
    psfs = [gaussian_psf((9, 11, 11), (1.2 + 0.04 * d, 1.5, 1.5)) for d in depths]
    places = np.stack([depths, np.full(5, 8.0), np.full(5, 8.0)], axis=1)
    model = VariantPsf.from_psfs(psfs, places, (20, 16, 16), tolerance=1e-3)
    assert model.maps.shape[2:] == (1, 1)
    expected = gaussian_psf((9, 11, 11), (1.2 + 0.04 * 12, 1.5, 1.5))
    assert np.linalg.norm(model.at((12, 3, 3)) - expected) < 3e-3 * np.linalg.norm(expected)


def test_two_places():
    """Too few for a plane: a straight line between them."""
    psfs = [gaussian_psf((11, 11), s) for s in (1.2, 1.6)]
    model = VariantPsf.from_psfs(psfs, [(10, 10), (60, 50)], SHAPE)
    assert_allclose(model.at((10, 10)), psfs[0], atol=5e-3 * psfs[0].max())
    assert model.at((35, 30)).max() == pytest.approx((psfs[0].max() + psfs[1].max()) / 2, rel=0.02)


def test_shifts_are_taken_out():
    psfs = [gaussian_psf((15, 15), 1.5, shift) for shift in (0, 0.3, -0.4)]
    places = [(0, 0), (0, 60), (60, 0)]
    assert len(VariantPsf.from_psfs(psfs, places, SHAPE).components) == 1
    assert len(VariantPsf.from_psfs(psfs, places, SHAPE, align=False).components) > 1


def test_a_part_is_the_same_at_the_same_places(model):
    part = model.part((10, 20), (30, 40))
    assert_allclose(part.at((5, 7)), model.at((15, 27)), atol=1e-7)
    assert part.image_shape == (30, 40)


def test_saved_and_loaded(model, tmp_path):
    path = tmp_path / "field.npz"
    model.save(path)
    again = VariantPsf.load(path)
    assert_allclose(again.at((50, 20)), model.at((50, 20)), atol=1e-7)
    assert (again.order, again.image_shape, again.spacing) == (model.order, SHAPE, None)
    assert again.residual == model.residual
    (tmp_path / "other.npz").write_bytes(b"PK nothing")
    with pytest.raises(FileError, match="no space-variant PSF"):
        VariantPsf.load(tmp_path / "other.npz")
    np.savez(tmp_path / "third.npz", a=np.zeros(3))
    with pytest.raises(FileError, match="no space-variant PSF"):
        VariantPsf.load(tmp_path / "third.npz")


def test_what_cannot_be():
    psfs, places = [np.ones((5, 5))] * 3, [(0, 0), (0, 9), (9, 0)]
    with pytest.raises(InputError, match="do not go together"):
        VariantPsf.from_psfs(psfs, places[:2], (10, 10))
    with pytest.raises(InputError, match="one shape"):
        VariantPsf.from_psfs([np.ones((5, 5)), np.ones((4, 5))], places[:2], (10, 10))
    with pytest.raises(InputError, match="no light"):
        VariantPsf.from_psfs([np.zeros((5, 5))] * 3, places, (10, 10))
    with pytest.raises(ParameterError, match="terms"):
        VariantPsf.from_psfs(psfs, places, (10, 10), terms=0)


def test_from_beads_in_parts_of_the_field():
    """Beads that are wider on the right than on the left."""
    rng = np.random.default_rng(0)
    image = np.full((120, 160), 5.0)
    grid = np.ogrid[:120, :160]
    for y in (15, 45, 75, 105):
        for x in (15, 45, 115, 145):
            sigma = 1.6 if x < 80 else 2.2
            place = np.array([y, x]) + rng.uniform(-0.5, 0.5, 2)
            square = sum(((g - p) / sigma) ** 2 for g, p in zip(grid, place, strict=True))
            image += 2000 / sigma**2 * np.exp(-square / 2)
    beads = find_beads(image, (0.1, 0.1), widest=2.0)
    model = variant_from_beads(image, beads, (0.1, 0.1), parts=(2, 2))
    left, right = model.at((60, 30)), model.at((60, 130))
    assert left.max() / right.max() == pytest.approx((2.2 / 1.6) ** 2, rel=0.1)
    with pytest.raises(InputError, match="fewer parts"):
        variant_from_beads(image, beads, (0.1, 0.1), parts=(4, 4), least=6)
