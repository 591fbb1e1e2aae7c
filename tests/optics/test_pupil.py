"""The pupil model against known answers: Strehl, tilt, symmetries, energy, OTF, Gibson-Lanni."""

import math

import numpy as np
import pytest
from psf_reference import relative_error
from scipy import fft

from napari_deconv.errors import ParameterError
from napari_deconv.optics import Microscope, focal_shift, generate_psf
from napari_deconv.optics.instrument import Instrument
from napari_deconv.optics.intensity import Sampling
from napari_deconv.optics.pupil import pupil
from napari_deconv.optics.pupil_field import PupilModel
from napari_deconv.optics.resolution import expected_fwhm

NA, WAVELENGTH, INDEX = 1.4, 0.61, 1.515


# Too little to see, but without symmetry: the same light by another way.
HARDLY = {5: 1e-7}


def scope(**changes):
    return Microscope(
        **{
            "numerical_aperture": NA,
            "emission_wavelength": WAVELENGTH,
            "immersion_index": INDEX,
            "sample_index": INDEX,
            "excitation_wavelength": 0.561,
        }
        | changes
    )


def psf(aberrations, shape=(17, 64, 64), spacing=(0.25, 0.1, 0.1), **options):
    options = {"centre": "geometric"} | options
    return generate_psf(
        scope(), shape, spacing, model="pupil", aberrations=aberrations, **options
    ).astype(np.float64)


class TestWithoutAberrations:
    @pytest.mark.parametrize(
        ("changes", "shape", "spacing"),
        [
            ({}, (17, 64, 64), (0.4, 0.1, 0.1)),
            ({}, (31, 40), (0.16, 0.12)),
            ({"sample_index": 1.33, "depth": 2.0}, (17, 64, 63), (0.25, 0.1, 0.1)),
            ({"sample_index": 1.33, "depth": 0.2}, (17, 48, 48), (0.25, 0.1, 0.1)),
            (
                {"numerical_aperture": 0.5, "immersion_index": 1.0, "sample_index": 1.33},
                (9, 48, 48),
                (2.0, 0.25, 0.25),
            ),
            (
                {
                    "numerical_aperture": 1.2,
                    "immersion_index": 1.33,
                    "sample_index": 1.38,
                    "depth": 10.0,
                },
                (17, 48, 48),
                (0.3, 0.1, 0.1),
            ),
        ],
    )
    def test_gibson_lanni(self, changes, shape, spacing):
        expected = generate_psf(scope(**changes), shape, spacing)
        for aberrations in ({}, HARDLY):
            found = generate_psf(
                scope(**changes), shape, spacing, model="pupil", aberrations=aberrations
            )
            assert relative_error(found, expected) < 1e-5

    def test_clipped(self):
        near = scope(sample_index=1.33, depth=0.3)
        options = {"centre": "geometric", "evanescent": False}
        expected = generate_psf(near, (9, 48, 48), (0.3, 0.1, 0.1), **options)
        found = generate_psf(
            near, (9, 48, 48), (0.3, 0.1, 0.1), model="pupil", aberrations=HARDLY, **options
        )
        assert relative_error(found, expected) < 2e-6

    @pytest.mark.parametrize("integrate", [True, False])
    def test_coarse_pixels(self, integrate):
        """Pixels that are larger than what the light can resolve are no matter."""
        options = {"pixel_integration": integrate}
        expected = generate_psf(scope(), (5, 15, 15), (0.4, 0.31, 0.4), **options)
        found = generate_psf(
            scope(), (5, 15, 15), (0.4, 0.31, 0.4), model="pupil", aberrations=HARDLY, **options
        )
        assert relative_error(found, expected) < 2e-6

    @pytest.mark.parametrize("modality", ["confocal", "two-photon", "spinning-disk", "light-sheet"])
    def test_modalities(self, modality):
        shape, spacing = (7, 24, 24), (0.3, 0.1, 0.1)
        expected = generate_psf(scope(), shape, spacing, modality=modality)
        found = generate_psf(
            scope(), shape, spacing, model="pupil", modality=modality, aberrations=HARDLY
        )
        assert relative_error(found, expected) < 5e-6


def in_the_middle(aberrations, wavelength=WAVELENGTH, **microscope):
    """The model's intensity on the axis, in the plane of focus."""
    sampling = Sampling(np.zeros(1), wavelength / NA / 16, 0.0)
    light = pupil(scope(**microscope), wavelength, sampling, aberrations=aberrations)
    return light.values[0].flat[0]  # whatever the direction, at radius 0


class TestKnownAnswers:
    @pytest.mark.parametrize("j", [4, 6, 8, 11])
    @pytest.mark.parametrize(("rms", "within"), [(0.1, 1.5e-3), (0.3, 1.5e-3), (0.5, 6e-3)])
    def test_strehl(self, j, rms, within):
        """Marechal: ``exp(-rms**2)``, from below; rms in radians."""
        strehl = in_the_middle({j: rms / (2 * math.pi)}) / in_the_middle({})
        assert strehl == pytest.approx(math.exp(-(rms**2)), abs=within)
        assert strehl < math.exp(-(rms**2))

    @pytest.mark.parametrize(
        ("j", "expected"), [(4, 0.3247), (6, 0.3600), (8, 0.3517), (11, 0.3443)]
    )
    def test_strehl_of_one_radian(self, j, expected):
        strehl = in_the_middle({j: 1 / (2 * math.pi)}) / in_the_middle({})
        assert strehl == pytest.approx(expected, abs=2e-4)

    @pytest.mark.parametrize("j", [2, 3])
    def test_tilt_moves_the_image(self, j):
        """By ``c wavelength / (pi NA)`` for c radians, to larger x (2) or y (3)."""
        spacing, pixels = 0.05, 6
        waves = pixels * spacing * NA / (2 * WAVELENGTH)
        straight = psf({}, (3, 65, 65), (0.3, spacing, spacing))
        tilted = psf({j: waves}, (3, 65, 65), (0.3, spacing, spacing))
        axis = 2 if j == 2 else 1
        assert np.unravel_index(tilted.argmax(), tilted.shape)[axis] == 32 + pixels
        inside = tuple(slice(8, -8) for _ in range(2))
        moved = np.roll(straight, pixels, axis)
        assert relative_error(tilted[:, *inside], moved[:, *inside]) < 1e-3

    def test_defocus_is_symmetric(self):
        stack = psf({})
        np.testing.assert_allclose(stack, stack[::-1], atol=1e-6 * stack.max())

    @pytest.mark.parametrize("j", [6, 7, 10, 11])
    def test_conjugate(self, j):
        """The opposite aberration mirrors the PSF at its origin."""
        stack, opposite = (psf({j: sign * 0.1}, (9, 65, 65)) for sign in (1, -1))
        np.testing.assert_allclose(np.flip(opposite), stack, atol=2e-5 * stack.max())
        if j in (6, 11):  # even over the pupil
            np.testing.assert_allclose(opposite[::-1], stack, atol=2e-5 * stack.max())
        assert relative_error(opposite, stack) > 0.05

    def test_astigmatism_elongates_along_y_on_one_side_and_along_x_on_the_other(self):
        stack = psf({6: 0.15}, (9, 65, 65), (0.25, 0.05, 0.05))
        place = np.arange(65) - 32.0
        core = slice(20, 45)

        def width(plane, axis):
            profile = plane[core, core].sum(axis=1 - axis)
            return (profile * place[core] ** 2).sum() / profile.sum()

        # Z6 is cos 2t: along x, phase rises as with defocus, whose focus is at smaller z.
        before, after = stack[2], stack[6]
        assert width(before, 0) > 1.1 * width(before, 1)
        assert width(after, 1) > 1.1 * width(after, 0)
        np.testing.assert_allclose(before.T, after, atol=1e-5 * stack.max())

    def test_positive_defocus_has_its_focus_at_smaller_z(self):
        found = focal_shift(scope(), model="pupil", aberrations={4: 0.2})
        assert -0.55 < found < -0.4
        other = focal_shift(scope(), model="pupil", aberrations={4: -0.2})
        assert other == pytest.approx(-found, abs=2e-3)

    def test_brightest_plane_is_centred(self):
        stack = psf({4: 0.6, 6: 0.05}, (9, 32, 32), (0.2, 0.1, 0.1), centre="brightest")
        assert stack.max(axis=(1, 2)).argmax() == 4

    def test_energy_is_the_same_in_each_plane(self):
        instrument = Instrument(scope(), "pupil", aberrations={5: 0.1, 8: 0.1})
        image = instrument.intensity(np.linspace(-3, 3, 7), 60.0)
        r = np.arange(image.values.shape[1])
        energy = (image.values.mean(axis=2, dtype=np.float64) * r).sum(axis=1)
        # Of the focal plane's rings, a part that falls with the radius is farther out.
        np.testing.assert_allclose(energy, energy[3], rtol=4e-3)

    def test_otf_support(self):
        """Nothing above ``2 NA / wavelength``, something up to it."""
        stack = psf({5: 0.1, 11: 0.05}, (1, 127, 127), (0.2, 0.05, 0.05), pixel_integration=False)
        taper = np.outer(np.hanning(127), np.hanning(127))
        spectrum = abs(fft.fft2(stack[0] * taper))
        f = np.hypot(*np.meshgrid(fft.fftfreq(127, 0.05), fft.fftfreq(127, 0.05)))
        edge = 2 * NA / WAVELENGTH
        assert spectrum[f > edge * 1.05].max() < 1e-4 * spectrum.max()
        assert spectrum[(f > edge * 0.8) & (f < edge * 0.9)].max() > 1e-3 * spectrum.max()

    def test_other_light_has_the_same_path(self):
        """A laser of half the wavelength sees twice as many waves."""

        def strehl(aberrations, wavelength):
            light = {"wavelength": wavelength, "emission_wavelength": 0.6}
            return in_the_middle(aberrations, **light) / in_the_middle({}, **light)

        for j in (5, 8):
            assert strehl({j: 0.04}, 0.3) == pytest.approx(strehl({j: 0.08}, 0.6), abs=1e-5)
            assert strehl({j: 0.04}, 0.3) < strehl({j: 0.04}, 0.6) - 0.05


class TestApodisation:
    def test_weight_at_the_edge_shortens_the_focus(self):
        """Along the axis; across it takes light from the middle to the rings."""
        sizes = [
            expected_fwhm(scope(), model="pupil", apodisation=kind)[0]
            for kind in ("herschel", "sine", "uniform")
        ]
        assert sizes[0] < 0.99 * sizes[1] < 0.99**2 * sizes[2]

    @pytest.mark.parametrize("kind", ["uniform", "sine", "herschel"])
    def test_it_means_what_it_means_in_richards_wolf(self, kind):
        """At a low NA, where light is as good as scalar, and at a high one to the differentiable.

        By reciprocity a weight is that of a laser that is focused, too: two-photon.
        """
        low = scope(numerical_aperture=0.3, immersion_index=1.0, sample_index=1.0)
        options = {"centre": "geometric", "apodisation": kind, "modality": "two-photon"}
        shape, spacing = (3, 24, 24), (5.0, 0.4, 0.4)
        vectorial, scalar = (
            generate_psf(low, shape, spacing, model=model, **options)
            for model in ("richards-wolf", "pupil")
        )
        assert relative_error(scalar, vectorial) < 0.04
        model = PupilModel(scope(), (3, 24, 24), (0.3, 0.1, 0.1), indices=[5], apodisation=kind)
        found = psf({5: 0.1}, (3, 24, 24), (0.3, 0.1, 0.1), apodisation=kind)
        assert relative_error(model.psf([0.1]).numpy(), found) < 2e-3


class TestParameters:
    def test_text(self):
        one = psf("5=0.05, 8=-0.1", (16, 16), (0.1, 0.1))
        np.testing.assert_array_equal(one, psf({8: -0.1, 5: 0.05}, (16, 16), (0.1, 0.1)))

    def test_piston_does_nothing(self):
        np.testing.assert_array_equal(
            psf({1: 0.3}, (16, 16), (0.1, 0.1)), psf({}, (16, 16), (0.1, 0.1))
        )

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({0: 0.1}, "Noll index 0"),
            ({500: 0.1}, "between 1 and 231"),
            ({5: 20}, "between -10 and 10 waves"),
            ({5: math.nan}, r"aberrations\[5\] is nan"),
            ("5", "numbers by Noll index"),
            ("5=0.1 5=0.2", "numbers by Noll index"),
            (0.3, "numbers by Noll index"),
        ],
    )
    def test_refused(self, value, message):
        with pytest.raises(ParameterError, match=message):
            psf(value)

    def test_a_field_too_large_for_memory(self, monkeypatch):
        import psutil

        monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"available": 10**7}))
        with pytest.raises(ParameterError, match="Light spreads so far"):
            psf({5: 6.0, 8: 4.0}, (33, 256, 256), (0.8, 0.1, 0.1))
