"""Phase retrieval: what made a bead's image is found back."""

import dataclasses
import math

import numpy as np
import pytest
from psf_reference import relative_error

from napari_deconv.errors import FileError, InputError, ParameterError
from napari_deconv.optics import Microscope, focal_shift, generate_psf
from napari_deconv.optics.phase_retrieval import Pupil, retrieve_pupil
from napari_deconv.optics.pupil_field import PupilModel

OIL = Microscope(numerical_aperture=1.4, emission_wavelength=0.61, sample_index=1.515)
DEEP = Microscope(numerical_aperture=1.3, emission_wavelength=0.52, sample_index=1.4, depth=3.0)
SPACING = (0.25, 0.1, 0.1)
READ_NOISE = 2.0


def bead(
    waves,
    *,
    snr=20,
    scope=OIL,
    shape=(17, 32, 32),
    seed=0,
    place=(0.0, 0.0, 0.0),
    diameter=0.1,
    amplitude=(),
):
    """A bead's stack with photons' and a camera's noise, from a pupil of twice the precision."""
    z = focal_shift(scope) + SPACING[0] * (np.arange(shape[0]) - shape[0] // 2)
    model = PupilModel(
        scope,
        shape,
        SPACING,
        z=z,
        indices=tuple(waves) or (5,),
        amplitude_indices=tuple(dict(amplitude)),
        bead_diameter=diameter,
        padding=1.5,
        dtype="float64",
    )
    image = model.intensity(
        list(waves.values()) or [0.0],
        amplitude=list(dict(amplitude).values()) or None,
        shift=place,
    ).numpy()
    image /= image.max()
    background, rng = 5.0, np.random.default_rng(seed)
    peak = (snr**2 + math.sqrt(snr**4 + 4 * snr**2 * (background + READ_NOISE**2))) / 2
    return rng.poisson(peak * image + background) + rng.normal(size=shape) * READ_NOISE


def random_waves(seed, rms=0.05):
    rng = np.random.default_rng(seed)
    return dict(zip(range(5, 13), rms * rng.standard_normal(8), strict=True))


class TestFindsBack:
    @pytest.mark.parametrize("snr", [10, 20, 50])
    @pytest.mark.parametrize("scope", [OIL, DEEP], ids=["oil", "deep"])
    def test_eight_coefficients(self, scope, snr):
        """Within 0.01 waves rms, and with them the wavefront, to 1.6 of what photons allow."""
        waves, place = random_waves(snr), (0.04, -0.03, 0.02)
        stack = bead(waves, snr=snr, scope=scope, place=place, shape=(33, 48, 48))
        found = retrieve_pupil(stack, SPACING, scope, bead_diameter=0.1, read_noise=READ_NOISE)
        errors = np.array([found.coefficients[j] - c for j, c in waves.items()])
        assert math.sqrt((errors**2).mean()) < 0.01
        bound = math.sqrt(sum(found.errors[j] ** 2 for j in waves))
        assert math.sqrt((errors**2).sum()) < max(1.6 * bound, 0.003)
        assert found.misfit == pytest.approx(1, abs=0.05)
        assert abs(found.structure) < 0.05
        z, y, x = found.positions[0]
        assert (y, x) == pytest.approx(place[1:], abs=0.01)
        assert z + focal_shift(scope) == pytest.approx(place[0], abs=0.04)

    def test_errors_are_as_large_as_told(self):
        waves = random_waves(3)
        deviations = []
        for seed in range(4):
            stack = bead(waves, seed=seed)
            found = retrieve_pupil(stack, SPACING, OIL, bead_diameter=0.1, read_noise=READ_NOISE)
            deviations += [
                (c - waves.get(j, 0.0)) / found.errors[j] for j, c in found.coefficients.items()
            ]
        assert 0.7 < np.std(deviations) < 1.4

    def test_strong_aberrations(self):
        waves = {5: 0.2, 7: -0.15, 11: 0.2}
        found = retrieve_pupil(
            bead(waves, shape=(21, 40, 40)),
            SPACING,
            OIL,
            bead_diameter=0.1,
            read_noise=READ_NOISE,
            indices=range(5, 16),
        )
        assert all(abs(found.coefficients[j] - c) < 0.01 for j, c in waves.items())

    def test_amplitude(self):
        stack = bead({6: 0.05}, snr=50, amplitude={4: -0.2, 5: 0.1})
        options = {"bead_diameter": 0.1, "read_noise": READ_NOISE, "indices": range(5, 12)}
        found = retrieve_pupil(stack, SPACING, OIL, **options)
        assert found.amplitude[4] == pytest.approx(-0.2, abs=0.02)
        assert found.amplitude[5] == pytest.approx(0.1, abs=0.02)
        without = retrieve_pupil(stack, SPACING, OIL, **options, amplitude=False)
        assert without.misfit > found.misfit + 0.05

    def test_diameter(self):
        stack = bead({5: 0.05}, snr=50, diameter=0.25)
        found = retrieve_pupil(
            stack,
            SPACING,
            OIL,
            bead_diameter=0.15,
            fit_diameter=True,
            amplitude=False,
            indices=range(5, 12),
            read_noise=READ_NOISE,
        )
        assert found.bead_diameter == pytest.approx(0.25, abs=0.02)
        assert found.coefficients[5] == pytest.approx(0.05, abs=0.005)

    def test_several_beads_share_a_pupil(self):
        waves = random_waves(5)
        places = [(0.05, 0.03, -0.02), (-0.1, -0.04, 0.05), (0.0, 0.0, 0.0)]
        stacks = [bead(waves, snr=12, place=place, seed=i) for i, place in enumerate(places)]
        options = {"bead_diameter": 0.1, "read_noise": READ_NOISE, "indices": range(5, 16)}
        found = retrieve_pupil(np.stack(stacks), SPACING, OIL, **options)
        np.testing.assert_allclose(np.array(found.positions), places, atol=0.03)
        alone = retrieve_pupil(stacks[0], SPACING, OIL, **options)
        assert found.errors[5] < 0.7 * alone.errors[5]

    def test_defocus_in_place_of_z(self):
        found = retrieve_pupil(
            bead({4: 0.1, 6: 0.05}), SPACING, OIL, indices=range(4, 12), bead_diameter=0.1
        )
        assert found.positions[0][0] == 0
        assert found.coefficients[4] == pytest.approx(0.1, abs=0.01)


OPTIONS = {"bead_diameter": 0.1, "indices": range(5, 12)}


class TestUnits:
    """The same pupil, whatever the image's unit."""

    def test_gain_and_offset(self):
        stack = bead({5: 0.08})
        one = retrieve_pupil(stack, SPACING, OIL, read_noise=READ_NOISE, **OPTIONS)
        two = retrieve_pupil(
            100 + 3 * stack,
            SPACING,
            OIL,
            gain=3.0,
            offset=100.0,
            read_noise=3 * READ_NOISE,
            **OPTIONS,
        )
        assert two.coefficients == pytest.approx(one.coefficients, abs=1e-5)
        assert two.photons == pytest.approx(one.photons, rel=1e-4)
        assert two.background == pytest.approx(one.background, abs=1e-2)

    @pytest.mark.parametrize("change", [lambda s: s - 5.0, lambda s: s / s.sum()])
    def test_without_photons(self, change):
        found = retrieve_pupil(change(bead({5: 0.08, 8: -0.05})), SPACING, OIL, **OPTIONS)
        assert found.coefficients[5] == pytest.approx(0.08, abs=0.01)
        assert found.coefficients[8] == pytest.approx(-0.05, abs=0.01)

    def test_photons(self):
        """A wide image holds them all."""
        stack = bead({}, snr=50, shape=(9, 64, 64))
        found = retrieve_pupil(stack, SPACING, OIL, read_noise=READ_NOISE, **OPTIONS)
        seen = (stack[4] - found.background[0]).sum()
        assert 0.93 < seen / found.photons[0] < 1.01


@pytest.fixture(scope="module")
def found():
    stack = bead({5: 0.08, 11: 0.05}, snr=50)
    return retrieve_pupil(stack, SPACING, OIL, read_noise=READ_NOISE, **OPTIONS)


class TestPupil:
    def test_psf_without_noise(self, found):
        """Of a point, of another size and sampling than the bead's."""
        shape, spacing = (9, 40, 41), (0.2, 0.065, 0.065)
        psf = found.psf(shape, spacing)
        truth = generate_psf(OIL, shape, spacing, model="pupil", aberrations={5: 0.08, 11: 0.05})
        assert psf.dtype == np.float32
        assert psf.sum() == pytest.approx(1, abs=1e-5)
        assert relative_error(psf, truth) < 0.03
        again = generate_psf(OIL, shape, spacing, model="pupil", aberrations=found.aberrations)
        assert relative_error(again, truth) < 0.03

    def test_goes_to_a_file_and_comes_back(self, found, tmp_path):
        found.save(tmp_path / "pupil.json")
        assert Pupil.load(tmp_path / "pupil.json") == found

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"coefficients": {"5": "x"}}'])
    def test_files_that_hold_something_else(self, tmp_path, text):
        (tmp_path / "pupil.json").write_text(text)
        with pytest.raises(FileError, match="holds no pupil"):
            Pupil.load(tmp_path / "pupil.json")

    def test_no_file(self, tmp_path):
        with pytest.raises(FileError, match="cannot be read"):
            Pupil.load(tmp_path / "none.json")

    def test_rms(self, found):
        pupil = dataclasses.replace(found, coefficients={5: 0.3, 6: 0.4})
        assert pupil.rms == pytest.approx(0.5)


class TestRefuses:
    @pytest.mark.parametrize(
        ("stack", "message"),
        [
            (np.ones((32, 32)), r"\(z, y, x\) or \(N, z, y, x\)"),
            (np.ones((2, 32, 32)), "at least 3 planes"),
            (np.full((5, 16, 16), np.nan), "not numbers"),
            (np.ones((5, 16, 16)), "same value everywhere"),
        ],
    )
    def test_stacks(self, stack, message):
        with pytest.raises(InputError, match=message):
            retrieve_pupil(stack, SPACING, OIL)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"indices": range(1, 6)}, "tilt is a position"),
            ({"indices": ()}, "Noll indices from 4 on"),
            ({"fit_diameter": True}, "one to start from"),
            ({"gain": 0.0}, "gain"),
            ({"iterations": 0}, "iterations"),
        ],
    )
    def test_parameters(self, options, message):
        with pytest.raises(ParameterError, match=message):
            retrieve_pupil(np.random.default_rng(0).random((5, 16, 16)), SPACING, OIL, **options)
