"""The stage before a blind restoration: which part is looked at, and where a field lies."""

import numpy as np
import pytest

import napari_deconv as nd
from napari_deconv import identification
from napari_deconv.engine import Job, blind
from napari_deconv.engine.blocks import Settled
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.identification import FieldIdentification
from napari_deconv.methods.deep_blur import FELT

SIDE = 100


@pytest.fixture
def looked_at(monkeypatch):
    """Images that were looked at; in each is found what is wide at the top and narrow below."""
    y, x = np.mgrid[-7:8, -7:8]
    psfs = np.array([np.exp(-(x**2 + y**2) / (2 * s**2)) for s in (3.0, 2.0, 1.2)])
    seen = []

    def found(image, *, spacing, **optics):
        seen.append(image)
        rows, columns = (np.linspace(0, n - 1, 3) for n in image.shape)
        at = np.array([(row, columns[1]) for row in rows])
        return FieldIdentification(
            psf=nd.VariantPsf.from_psfs(psfs, at, image.shape, spacing=spacing, align=False),
            coefficients={4: np.zeros((3, 3), np.float32)},
            places=(rows, columns),
            strehl=np.ones((3, 3), np.float32),
            degree=1,
            flip_probability=0.0,
            confidence=0.9,
            expected_snr=20.0,
            verdict="It changes.",
            cutoff=0.2,
            noise=1.0,
        )

    monkeypatch.setattr(identification, "identify_field", found)
    return seen


@pytest.fixture
def image():
    return np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32)


def settled(image, **options):
    job = Job(image, "deep-blur", psf_varies=True, **options)
    for _ in job.settle():
        pass
    return job


def test_a_field_becomes_the_psf(looked_at, image):
    restored, details = nd.restore(image, "deep-blur", psf_varies=True, details=True)
    np.testing.assert_array_equal(looked_at[0], image)
    given = nd.restore(image, "deep-blur", details.psf_field, psf_error=FELT * 0.1, psf_energy=1.0)
    np.testing.assert_allclose(restored, given, rtol=1e-5)
    np.testing.assert_allclose(details.psf, details.psf_field.mean, atol=1e-6)
    assert details.provenance["found"]["coefficients"] == {"4": np.zeros((3, 3)).tolist()}


def test_a_part_of_a_large_image_is_looked_at_and_the_field_lies_there(
    looked_at, image, monkeypatch
):
    monkeypatch.setattr(blind, "PIXELS", SIDE * SIDE // 2)
    image[:40] *= 0.1  # the lower half is the livelier one
    job = settled(image)
    top, left = job.details.found["start"]
    assert top > 0
    assert left == 0
    np.testing.assert_array_equal(looked_at[0], image[top : top + SIDE // 2])
    field = job.details.psf_field
    assert field.image_shape == (SIDE, SIDE)
    assert (field.places[0][0], field.places[0][-1]) == (top, top + SIDE // 2 - 1)
    assert "pixels were looked at" in job.details.found["verdict"]


def test_a_region_is_looked_at_where_it_is(looked_at, image):
    job = settled(image, region=(slice(10, 90), slice(30, 100)))
    np.testing.assert_array_equal(looked_at[0], image[10:90, 30:])
    rows = job.details.psf_field.places[0]
    assert (rows[0], rows[-1]) == (10, 89)


def test_what_was_found_travels_as_text(looked_at, image):
    job = settled(image, spacing=(0.1, 0.1))
    found = Settled.from_json(job.work.settled.to_json()).found
    again = blind.psf_of(found["psf"])
    field = job.details.psf_field
    np.testing.assert_array_equal(again.components, field.components)
    np.testing.assert_array_equal(again.maps, field.maps)
    for ours, theirs in zip(again.places, field.places, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (again.spacing, again.image_shape) == ((0.1, 0.1), (SIDE, SIDE))


def test_a_field_is_not_refined(looked_at, image):
    with pytest.raises(ParameterError, match="refine"):
        settled(image, refine=True)


def test_the_liveliest_plane_of_a_z_stack_is_looked_at_with_its_neighbours(monkeypatch, image):
    asked = []

    def found(planes, **told):
        asked.append((planes, told))
        raise InputError("enough")

    monkeypatch.setattr(identification, "identify_stack", found)
    times = np.zeros((2, 30, SIDE, SIDE), np.float32) + 0.1 * image
    times[1, 12] = image
    times[1, :, 0, 0] = np.arange(30)  # tells the planes
    optics = {"numerical_aperture": 1.2, "emission_wavelength": 0.6}
    with pytest.raises(InputError, match="enough"):
        for _ in Job(times, "deep-blur", spacing=(0.3, 0.1, 0.1), **optics).settle():
            pass
    ((planes, told),) = asked
    assert planes[told["plane"], 0, 0] == 12
    assert planes[:, 0, 0].tolist() == list(range(4, 21))
    assert told["spacing"] == (0.3, 0.1, 0.1)


def test_the_forecast_counts_finding_the_psf(image):
    """Restoring is the same; looking for a field, or again, takes longer than looking once."""

    def seconds(**options):
        return Job(image, "deep-blur", spacing=(0.08, 0.08), **options).forecast.seconds

    psf = np.ones((3, 3), np.float32)
    known, once, field = seconds(psf=psf), seconds(), seconds(psf_varies=True)
    assert once > known + 0.5
    assert field > once + 1
    wide = np.pad(image, [(0, 500 - SIDE)] * 2, mode="wrap")
    many = Job(wide, "deep-blur", spacing=(0.08, 0.08), psf_varies=True).forecast.seconds
    assert many > field + 8
    assert seconds(refine=True) > once + 1
