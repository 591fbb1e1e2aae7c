"""Beads found, chosen, centred and averaged, on stacks whose PSF is known."""

import csv

import numpy as np
import pytest
from numpy.testing import assert_allclose

from aberrated import INDEX, NA, SPACING, WAVELENGTH, bead_field, point_image
from napari_deconv import Microscope
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.optics.beads import average_beads, distil_psf, field_map, find_beads
from napari_deconv.optics.beads.align import fit, slopes
from napari_deconv.optics.beads.clean import sphere_transform, symmetric
from napari_deconv.optics.beads.measure import half_max_centroid, widths, without_diameter

WAVES = {5: 0.03, 8: 0.05, 11: 0.04}
SCOPE = Microscope(
    numerical_aperture=NA,
    emission_wavelength=WAVELENGTH,
    immersion_index=INDEX,
    sample_index=INDEX,
)


def gaussian(shape, place, sigma, height=1000.0):
    grids = np.ogrid[tuple(slice(n) for n in shape)]
    square = sum(((g - p) / s) ** 2 for g, p, s in zip(grids, place, sigma, strict=True))
    return height * np.exp(-square / 2)


def nearest(beads, places):
    """Place of every accepted bead less the true one."""
    found = np.array([b.position for b in beads if b.accepted])
    return np.array([p - places[np.linalg.norm(places - p, axis=1).argmin()] for p in found])


def registered(psf, waves):
    """The true PSF with its middle, which is a convention, where the found one's is."""
    offset = np.zeros(3)
    for _ in range(3):
        truth = point_image(psf.shape, waves, offset)
        truth /= truth.sum()
        everything = np.ones(truth.shape, dtype=bool)
        inner = np.pad(truth, 8)
        _, _, shift = fit(
            psf.astype(float), everything, truth, [g[8:-8, 8:-8, 8:-8] for g in slopes(inner)]
        )
        offset += np.array(shift) * SPACING
    return truth


@pytest.fixture(scope="module")
def crowded():
    image, places = bead_field(WAVES, snr=20, count=60, shape=(33, 480, 480), seed=1)
    return image, places, find_beads(image, SPACING, SCOPE)


def test_average_at_snr_20(crowded):
    """Relative L2 error of the PSF: at most 3 %; places: 0.05 voxel."""
    image, places, found = crowded
    average = average_beads(image, found, SPACING, SCOPE, bead_diameter=0.1)
    assert average.count >= 50
    truth = registered(average.psf, WAVES)
    error = np.linalg.norm(average.psf - truth) / np.linalg.norm(truth)
    assert error <= 0.03
    off = nearest(average.beads, places)
    assert np.sqrt(((off - off.mean(axis=0)) ** 2).mean(axis=0)).max() <= 0.05
    # The bead's diameter is not in the PSF, but is in the mean bead.
    assert np.linalg.norm(average.mean - truth) > 1.5 * np.linalg.norm(average.psf - truth)


@pytest.mark.parametrize("snr", [10, 50])
def test_places_without_aberration_are_absolute(snr):
    image, places = bead_field(snr=snr, count=16, shape=(33, 256, 256), seed=2)
    average = average_beads(image, find_beads(image, SPACING, SCOPE), SPACING, SCOPE)
    assert average.count >= 14
    off = nearest(average.beads, places)
    assert np.sqrt((off**2).mean(axis=0)).max() <= 0.05
    assert_allclose(average.report.ratio, 1, atol=0.12)
    assert abs(average.background - 102) < 2


def test_average_without_noise_is_the_bead():
    """Three Gaussian beads between voxels; their mean is a Gaussian on a voxel."""
    sigma = (1.8, 2.0, 2.4)
    image = np.full((31, 90, 90), 10.0)
    for place, height in (
        ((15.3, 20.2, 22.4), 900),
        ((14.8, 60.5, 30.1), 500),
        ((15, 40, 65), 700),
    ):
        image += gaussian(image.shape, place, sigma, height)
    beads = find_beads(image, (0.2, 0.1, 0.1))
    average = average_beads(image, beads, (0.2, 0.1, 0.1), shape=(21, 25, 25))
    expected = gaussian((21, 25, 25), (10, 12, 12), sigma)
    assert average.count == 3
    assert average.psf.sum() == pytest.approx(1, abs=1e-5)
    assert_allclose(average.psf, expected / expected.sum(), atol=0.01 * average.psf.max())
    width = 2.3548 * np.array(sigma) * (0.2, 0.1, 0.1)
    assert_allclose(average.report.fwhm, width, rtol=0.03)
    assert average.deviation.max() < 0.01 * average.psf.max()


def test_a_plane_of_beads():
    image = np.full((80, 90), 5.0)
    for place in ((20.3, 20.6), (50.5, 60.1), (55.2, 21.7)):
        image += gaussian(image.shape, place, (2, 2))
    image = np.random.default_rng(0).poisson(image)
    beads = find_beads(image, (0.1, 0.1))
    average = average_beads(image, beads, (0.1, 0.1))
    assert average.count == 3
    assert_allclose(average.report.fwhm, 0.471, rtol=0.05)
    assert half_max_centroid(average.psf.astype(float)) == pytest.approx(
        [n // 2 for n in average.psf.shape], abs=0.02
    )


class TestReasons:
    """Every bead that is not used says why, with numbers; the others are used."""

    sigma = (1.7, 1.7, 1.7)

    def find(self, image, **options):
        image = np.random.default_rng(0).normal(image + 100, 3)
        return find_beads(image, (0.1, 0.1, 0.1), fwhm=(0.4, 0.4, 0.4), **options)

    def scene(self, *odd):
        image = np.zeros((30, 100, 100))
        for y in (20, 50, 80):
            image += gaussian(image.shape, (15, y, 20), self.sigma)
        for place, sigma, height in odd:
            image += gaussian(image.shape, place, sigma, height)
        return image

    def reason(self, beads, near):
        return min(beads, key=lambda b: np.linalg.norm(np.subtract(b.position, near))).reason

    def test_good_ones_are_taken(self):
        beads = self.find(self.scene())
        assert [b.accepted for b in beads] == [True] * 3
        assert all(b.reason == "" for b in beads)

    def test_edge(self):
        beads = self.find(self.scene(((15, 50, 97), self.sigma, 1000)))
        assert "0.20 um from the image's border along x" in self.reason(beads, (15, 50, 97))
        assert sum(b.accepted for b in beads) == 3

    def test_cut_off_along_z(self):
        beads = self.find(self.scene(((1, 50, 60), self.sigma, 1000)))
        assert self.reason(beads, (1, 50, 60)).startswith("At the edge: 0.")
        assert "along z" in self.reason(beads, (1, 50, 60))

    def test_too_near(self):
        pair = ((15, 50, 60), self.sigma, 1000), ((15, 50, 68), self.sigma, 600)
        beads = self.find(self.scene(*pair))
        assert self.reason(beads, (15, 50, 60)).startswith("Too near to another: 0.8")
        assert "60%" in self.reason(beads, (15, 50, 60)) or "59%" in self.reason(
            beads, (15, 50, 60)
        )
        assert self.reason(beads, (15, 50, 68)).startswith("Too near")
        assert sum(b.accepted for b in beads) == 3

    def test_saturated(self):
        image = np.clip(self.scene(((15, 50, 60), self.sigma, 9000)) + 100, 0, 4095)
        beads = find_beads(image.astype(np.uint16), (0.1, 0.1, 0.1), fwhm=(0.4, 0.4, 0.4))
        assert self.reason(beads, (15, 50, 60)).startswith("Saturated: ")
        assert "4095" in self.reason(beads, (15, 50, 60))

    def test_clipped(self):
        image = np.clip(self.scene(((15, 50, 60), self.sigma, 9000)) + 100, 0, 3000)
        beads = find_beads(image.astype(np.uint16), (0.1, 0.1, 0.1), fwhm=(0.4, 0.4, 0.4))
        assert self.reason(beads, (15, 50, 60)).startswith("Clipped: ")

    def test_saturation_as_given(self):
        beads = self.find(self.scene(((15, 50, 60), self.sigma, 3000)), saturation=2000)
        assert "at 2000, from which on" in self.reason(beads, (15, 50, 60))
        assert sum(b.accepted for b in beads) == 3

    def test_weak(self):
        beads = self.find(self.scene(((15, 50, 60), self.sigma, 40)), minimum_snr=30)
        assert "but 30 times are needed" in self.reason(beads, (15, 50, 60))
        assert sum(b.accepted for b in beads) == 3

    def test_double(self):
        beads = self.find(self.scene(((15, 50, 60), (1.7, 1.7, 3.5), 1000)))
        assert self.reason(beads, (15, 50, 60)).startswith(("Double", "Elongated"))
        assert sum(b.accepted for b in beads) == 3

    def test_double_along_the_diagonal(self):
        pair = ((15, 48.6, 58.6), self.sigma, 800), ((15, 51.4, 61.4), self.sigma, 800)
        beads = self.find(self.scene(*pair))
        assert self.reason(beads, (15, 50, 60)).startswith(("Elongated", "Double"))

    def test_one_that_is_unlike_the_others_does_not_stop_them(self):
        odd = self.scene(((15, 50, 60), (1.7, 1.7, 1.7), 1000), ((15, 80, 60), self.sigma, 1000))
        odd[:, 46:55, 61:70] = 0  # a bead half of which is missing
        beads = self.find(odd, widest=5)
        average = average_beads(odd + 100, beads, (0.1, 0.1, 0.1), shape=(13, 13, 13))
        assert "Not like the others" in self.reason(average.beads, (15, 50, 60))
        assert average.count == 4

    def test_none_left(self):
        beads = [b.rejected("Weak: 3 times.") for b in self.find(self.scene())]
        with pytest.raises(InputError, match="3 weak"):
            average_beads(self.scene(), beads, (0.1, 0.1, 0.1))

    def test_nothing_there(self):
        with pytest.raises(InputError, match="stands out"):
            find_beads(np.zeros((9, 30, 30)), (0.1, 0.1, 0.1), fwhm=(0.4, 0.4, 0.4))
        with pytest.raises(ParameterError, match="3 positive lengths"):
            find_beads(np.zeros((9, 30, 30)), (0.1, 0.1))


def test_several_images():
    image = np.full((21, 60, 60), 7.0)
    images = [
        image + gaussian(image.shape, (10, y, x), (1.8,) * 3, h)
        for y, x, h in ((25.3, 31.1, 900), (33.8, 28.5, 400))
    ]
    lists = [find_beads(each, (0.1,) * 3) for each in images]
    average = average_beads(images, lists, (0.1,) * 3)
    assert average.count == 2
    assert_allclose(average.report.fwhm, 0.424, rtol=0.03)
    with pytest.raises(InputError, match="2 images, but beads for 1"):
        average_beads(images, lists[:1], (0.1,) * 3)


def test_report(crowded, tmp_path):
    image, _, found = crowded
    average = average_beads(image, found, SPACING, SCOPE, bead_diameter=0.1)
    report = average.report
    assert len(report.rows()) == len(found)
    assert report.axial_asymmetry > 0.05 or report.axial_asymmetry < -0.05  # Z11 is there
    assert "beads were averaged" in report.sentences()[0]
    report.save(tmp_path / "beads.csv")
    with open(tmp_path / "beads.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["fwhm_x_um"]) == pytest.approx(found[0].fwhm[2], abs=1e-3)
    assert {r["used"] for r in rows} <= {"True", "False"}
    field = field_map(average.beads, image.shape, "fwhm_x", (3, 3))
    assert np.isfinite(field).all()
    assert_allclose(field, np.nanmedian(field), rtol=0.15)


def test_measured_psf_off_centre_with_an_offset():
    """A bead somewhere in a stack of camera counts: centred, and the offset gone."""
    rng = np.random.default_rng(0)
    sharp = gaussian((31, 64, 64), (14.3, 40.8, 30.4), (2.5, 1.6, 1.6), 5000)
    distilled = distil_psf(rng.poisson(sharp + 100).astype(np.uint16), (0.1, 0.1, 0.1))
    assert distilled.background == pytest.approx(100, abs=1)
    assert distilled.position == pytest.approx((14.3, 40.8, 30.4), abs=0.05)
    expected = gaussian((31, 64, 64), (15, 32, 32), (2.5, 1.6, 1.6))
    expected /= expected.sum()
    assert distilled.psf.sum() == pytest.approx(1, abs=1e-4)
    assert np.linalg.norm(distilled.psf - expected) < 0.04 * np.linalg.norm(expected)
    assert_allclose(distilled.fwhm, [0.589, 0.377, 0.377], rtol=0.05)


def test_sphere_transform_is_that_of_voxels():
    """Against a sphere cut into very small voxels."""
    n, diameter, step = 96, 0.6, 0.02
    grids = np.ogrid[(slice(-n // 2, n // 2),) * 3]
    ball = (sum(g.astype(float) ** 2 for g in grids) * step**2 <= diameter**2 / 4).astype(float)
    spectrum = np.abs(np.fft.rfftn(ball / ball.sum()))
    exact = np.abs(sphere_transform(ball.shape, (step,) * 3, diameter))
    assert np.abs(spectrum - exact)[:6, :6, :6].max() < 5e-3


def test_diameter_correction_agrees_with_the_transform():
    """facts: a width of 250 nm is 244.4 nm without a bead of 100 nm, 226.8 of 200 nm."""
    assert without_diameter((0.25,), 0.1)[0] == pytest.approx(0.2444, abs=2e-4)
    assert without_diameter((0.25,), 0.2)[0] == pytest.approx(0.2268, abs=3e-4)
    assert np.isnan(without_diameter((0.05,), 0.2)[0])


def test_widths_and_their_absence():
    line = gaussian((41, 41), (20.4, 19.7), (3, 4))
    assert_allclose(widths(line, (20.4, 19.7), (1, 1)), [7.06, 9.42], rtol=0.02)
    assert np.isnan(widths(np.ones((9, 9)), (4, 4), (1, 1))).all()


@pytest.mark.parametrize("shape", [(3, 31, 31), (3, 32, 32)])
@pytest.mark.parametrize("kind", ["mirror", "radial"])
def test_symmetric(shape, kind):
    middle = [n // 2 for n in shape]
    round_one = gaussian(shape, middle, (1, 3, 3))
    again = symmetric(round_one, kind, (1, 1, 1))
    assert np.abs(again - round_one)[:, 2:-2, 2:-2].max() < 0.01 * round_one.max()
    tilted = gaussian(shape, np.add(middle, (0, 1.5, 0)), (1, 3, 3))
    place = half_max_centroid(symmetric(tilted, kind, (1, 1, 1)))
    assert place[1:] == pytest.approx(middle[1:], abs=0.02)


def test_a_hot_pixel_hides_no_bead():
    image = np.full((21, 64, 64), 100.0) + gaussian((21, 64, 64), (10, 32, 32), (1.5,) * 3)
    image = np.random.default_rng(0).poisson(image)
    image[3, 10, 10] = 60000
    beads = find_beads(image, (0.2, 0.1, 0.1))
    assert [b.accepted for b in beads] == [True]
    assert beads[0].position == pytest.approx((10, 32, 32), abs=0.1)


def test_a_sloping_background_is_no_noise_and_no_light():
    slope = 5 * np.arange(64.0)
    image = np.random.default_rng(0).normal(
        gaussian((21, 64, 64), (10, 32, 32), (1.5,) * 3) + slope, 5
    )
    beads = find_beads(image, (0.2, 0.1, 0.1))
    (bead,) = (b for b in beads if b.accepted)
    assert bead.noise == pytest.approx(5, rel=0.15)
    average = average_beads(image, beads, (0.2, 0.1, 0.1))
    assert_allclose(average.report.fwhm, (0.706, 0.353, 0.353), rtol=0.06)


@pytest.mark.parametrize("image", [np.ones((9, 32, 32)), "noise"], ids=["flat", "noise"])
def test_nothing_to_distil(image):
    if isinstance(image, str):
        image = np.random.default_rng(0).poisson(100, (9, 32, 32))
    with pytest.raises(InputError, match="stands out"):
        distil_psf(image)
