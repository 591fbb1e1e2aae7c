"""The differentiable pupil: equal to the PSF model, right gradients, batches, layers, shifts."""

import numpy as np
import pytest
import torch
from psf_reference import relative_error

from napari_deconv.errors import ParameterError
from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.optics.pupil_field import PupilModel

ABERRATIONS = {5: 0.1, 6: 0.02, 8: -0.05, 11: 0.05}
INDICES, WAVES = tuple(ABERRATIONS), tuple(ABERRATIONS.values())


def scope(**changes):
    return Microscope(
        **{
            "numerical_aperture": 1.3,
            "emission_wavelength": 0.61,
            "sample_index": 1.4,
            "depth": 2.0,
            "immersion_index_design": 1.515,
        }
        | changes
    )


def model(shape=(5, 24, 24), spacing=(0.3, 0.1, 0.1), **options):
    return PupilModel(scope(), shape, spacing, **{"indices": INDICES, "dtype": "float64"} | options)


class TestPsf:
    @pytest.mark.parametrize(
        ("shape", "spacing"),
        [((5, 32, 31), (0.4, 0.1, 0.1)), ((32, 32), (0.1, 0.1)), ((3, 15, 16), (0.4, 0.3, 0.2))],
    )
    @pytest.mark.parametrize("integrate", [True, False])
    def test_that_of_the_model(self, shape, spacing, integrate):
        found = model(shape, spacing, pixel_integration=integrate).psf(WAVES).numpy()
        expected = generate_psf(
            scope(),
            shape,
            spacing,
            model="pupil",
            aberrations=ABERRATIONS,
            pixel_integration=integrate,
            centre="geometric",
        )
        assert found.shape == shape
        assert found.sum() == pytest.approx(1)
        assert relative_error(found, expected) < 4e-3

    def test_float32(self):
        one, two = (model(dtype=dtype).psf(WAVES) for dtype in ("float32", "float64"))
        assert one.dtype == torch.float32
        assert float((one - two).abs().max()) < 2e-6 * float(two.max())

    def test_in_units_of_the_focus(self):
        ideal = PupilModel(
            scope(sample_index=1.515), (33, 33), (0.05, 0.05), indices=(4,), pixel_integration=False
        )
        assert float(ideal.intensity([0.0])[16, 16]) == pytest.approx(1, abs=1e-3)

    def test_many_at_once(self):
        made = model(amplitude_indices=(4, 6))
        c = torch.randn(3, 4, dtype=torch.float64) * 0.1
        a = torch.randn(3, 2, dtype=torch.float64) * 0.1
        depth = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        shift = torch.randn(3, 3, dtype=torch.float64) * 0.1
        together = made.psf(c, amplitude=a, depth=depth, shift=shift)
        assert together.shape == (3, 5, 24, 24)
        for i in range(3):
            alone = made.psf(c[i], amplitude=a[i], depth=depth[i], shift=shift[i])
            torch.testing.assert_close(together[i], alone)

    def test_own_planes(self):
        stack, one = model((9, 24, 24), padding=2.0), model((1, 24, 24), z=[0.6], padding=2.0)
        wanted = stack.intensity(WAVES)[6]
        found = one.intensity(WAVES)[0]
        assert float((found - wanted).norm() / wanted.norm()) < 3e-3

    @pytest.mark.parametrize(
        ("shape", "options", "message"),
        [((4,), {}, "but both have to be"), ((3, 8, 8), {"z": [0.0]}, "1 positions for 3 planes")],
    )
    def test_refused(self, shape, options, message):
        with pytest.raises(ParameterError, match=message):
            PupilModel(scope(), shape, (0.1,) * len(shape), **options)

    def test_wrong_number_of_coefficients(self):
        with pytest.raises(ParameterError, match=r"\(4,\) or \(N, 4\)"):
            model().psf([0.1, 0.2])


class TestOtherLayers:
    @pytest.mark.parametrize(
        "changes",
        [{"depth": 2.5}, {"sample_index": 1.42}, {"immersion_index": 1.516}],
        ids=lambda changes: next(iter(changes)),
    )
    def test_equal_a_model_of_those(self, changes):
        found = model(padding=2.0).psf(WAVES, **changes)
        other = PupilModel(
            scope(**changes),
            (5, 24, 24),
            (0.3, 0.1, 0.1),
            indices=INDICES,
            dtype="float64",
            padding=2.0,
        ).psf(WAVES)
        assert float((found - other).norm() / other.norm()) < 3e-3
        assert float((model(padding=2.0).psf(WAVES) - other).norm() / other.norm()) > 0.01

    def test_shift(self):
        made = model((9, 32, 32), padding=3.0)
        still, moved = made.intensity(WAVES), made.intensity(WAVES, shift=(0.3, 0.2, -0.1))
        error = (moved[1:, 2:, :-1] - still[:-1, :-2, 1:]).norm() / still.norm()
        assert float(error) < 1e-3

    def test_amplitude(self):
        """A constant factor of the amplitude counts twice; a darker edge of the pupil widens it."""
        made = model((33, 33), (0.05, 0.05), amplitude_indices=(1, 4))
        plain = made.intensity(WAVES)
        torch.testing.assert_close(made.intensity(WAVES, amplitude=[0.1, 0.0]), plain * np.exp(0.2))
        ideal = scope(sample_index=1.515)
        made = PupilModel(
            ideal, (33, 33), (0.05, 0.05), indices=(4,), amplitude_indices=(1, 4), dtype="float64"
        )
        zero = [0.0]
        dark, even, bright = (made.psf(zero, amplitude=[0.0, a]) for a in (-0.3, 0.0, 0.3))
        beside = [float(psf[16, 18] / psf[16, 16]) for psf in (dark, even, bright)]
        assert beside[0] > beside[1] > beside[2]


class TestGradients:
    def test_to_everything(self):
        made = model((2, 6, 6), (0.4, 0.2, 0.2), amplitude_indices=(4, 7), padding=0.5)
        given = [
            torch.tensor(value, dtype=torch.float64, requires_grad=True)
            for value in (WAVES, (0.1, -0.05), 2.0, 1.4, 1.515, (0.05, 0.02, -0.03))
        ]

        def psf(c, a, depth, ns, ni, shift):
            return made.psf(
                c, amplitude=a, depth=depth, sample_index=ns, immersion_index=ni, shift=shift
            )

        assert torch.autograd.gradcheck(psf, given)

    def test_of_evanescent_light(self):
        made = PupilModel(
            scope(numerical_aperture=1.45, sample_index=1.33, depth=0.3),
            (6, 6),
            (0.2, 0.2),
            indices=(5, 11),
            dtype="float64",
            padding=0.5,
        )
        given = [
            torch.tensor(value, dtype=torch.float64, requires_grad=True)
            for value in ((0.1, 0.1), 0.3, 1.33)
        ]
        assert torch.autograd.gradcheck(
            lambda c, depth, ns: made.psf(c, depth=depth, sample_index=ns), given
        )

    def test_find_back_an_aberration(self):
        """Descent on the gradient leads to the coefficients that made an image."""
        made = model((5, 16, 16), (0.3, 0.12, 0.12), dtype="float32")
        truth = torch.tensor(WAVES)
        data = made.psf(truth)
        c = torch.zeros(4, requires_grad=True)
        search = torch.optim.LBFGS([c], max_iter=60, line_search_fn="strong_wolfe")

        def loss():
            search.zero_grad()
            value = ((made.psf(c) - data) ** 2).sum() * 1e4
            value.backward()
            return value

        search.step(loss)
        assert float((c.detach() - truth).abs().max()) < 1e-3


class TestBeads:
    def test_a_bead_is_the_mean_over_a_sphere(self):
        """Against points drawn from it: the same image, where a point's is another."""
        made = model((5, 20, 20), (0.2, 0.1, 0.1), bead_diameter=0.3, pixel_integration=False)
        bead = made.intensity(WAVES)
        rng = np.random.default_rng(0)
        places = rng.uniform(-1, 1, (4000, 3))
        places = 0.15 * places[(places**2).sum(axis=1) < 1]
        plain = model((5, 20, 20), (0.2, 0.1, 0.1), pixel_integration=False)
        shifts = torch.as_tensor(np.concatenate([places, -places]))
        waves = torch.tensor(WAVES, dtype=torch.float64).expand(100, -1)
        points = torch.stack(
            [plain.intensity(waves[: len(some)], shift=some).mean(0) for some in shifts.split(100)][
                :-1
            ]
        ).mean(0)
        assert float((bead - points).norm() / points.norm()) < 0.01
        alone = plain.intensity(WAVES)
        assert float((alone - points).norm() / points.norm()) > 0.05

    def test_has_planes(self):
        with pytest.raises(ParameterError, match="evenly spaced planes"):
            model((8, 8), (0.1, 0.1), bead_diameter=0.1)
