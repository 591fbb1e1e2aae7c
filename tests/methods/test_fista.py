import itertools

import numpy as np
import pytest
import pywt
import torch

import napari_deconv as nd
from napari_deconv.errors import ParameterError
from napari_deconv.methods._level import typical_level
from napari_deconv.methods.fista import fista
from napari_deconv.methods.ista import ista
from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.wavelets import WaveletTransform
from napari_deconv.simulation import phantoms
from problems import gaussian_psf, relative_rmse, spots

METHODS = [ista, fista]
BORDERS = ["extended", "reflect", "circular", "zero"]


def problem(
    peak=100.0,
    shape=(64, 64),
    borders="circular",
    dtype=torch.float64,
    kind="filaments",
    sigma=2.0,
):
    """Counts of a blurred phantom with so many photons in its brightest voxel, and the truth."""
    truth = phantoms.filaments(shape, count=8) if kind == "filaments" else spots(shape)
    truth = torch.from_numpy(np.asarray(truth, dtype=np.float64))
    psf = gaussian_psf((15,) * len(shape), sigma)
    expected = Convolution(psf, shape, "circular", dtype=torch.float64)(truth).clamp(min=0)
    truth *= peak / float(expected.max())
    expected *= peak / float(expected.max())
    counts = torch.from_numpy(np.random.default_rng(0).poisson(expected.numpy()).astype(float))
    return counts.to(dtype), Convolution(psf, shape, borders, dtype=dtype), truth


def run(method, data, blur, count, *, strength=0.03, **options):
    level = options.pop("level", typical_level(data, blur, {}))
    return method(data, blur, iterations=count, strength=strength, level=level, **options)


def last(steps):
    *_, estimate = steps
    return estimate


def objective(x, data, blur, strength, wavelet):
    w = WaveletTransform(blur.object_shape, wavelet, dtype=x.dtype)
    details = w.forward(x)
    details[w.approximation] = 0
    misfit = float((blur(x) - data).square().sum())
    return misfit / 2 / typical_level(data, blur, {}) + strength * float(details.abs().sum())


def psnr(estimate, truth):
    error = float((estimate.double() - truth).square().mean())
    return 10 * np.log10(float(truth.max()) ** 2 / error)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("wavelet", ["haar", "db4"])
@pytest.mark.parametrize(("peak", "strength"), [(20, 0.1), (1000, 0.003)])
@pytest.mark.parametrize("kind", ["filaments", "spots"])
def test_fista_is_where_ista_is_after_2000_steps(kind, peak, strength, wavelet, positive):
    data, blur, _ = problem(peak, (32, 32), kind=kind)
    options = {
        "strength": strength,
        "wavelet": wavelet,
        "positive": positive,
        "cycle_spinning": False,
    }

    def score(x):
        return objective(x, data, blur, strength, wavelet)

    slow = score(last(run(ista, data, blur, 2000, **options)))
    early = score(last(run(ista, data, blur, 100, **options)))
    fast = min(score(x) for x in run(fista, data, blur, 150, **options))
    assert fast <= slow * (1 + 1e-6)
    assert early > slow * (1 + 1e-5)


@pytest.mark.parametrize("borders", BORDERS)
def test_ista_never_raises_the_objective(borders):
    data, blur, _ = problem(borders=borders, shape=(32, 36))
    options = {"positive": False, "cycle_spinning": False, "wavelet": "sym4"}
    found = [objective(x, data, blur, 0.03, "sym4") for x in run(ista, data, blur, 40, **options)]
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(found))
    assert found[-1] < 0.9 * found[0]


@pytest.mark.parametrize("borders", BORDERS)
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_fista_ends_where_the_gradient_is_balanced(borders, wavelet):
    """H^T (y - H x) / m is strength times the sign of each detail, or less where that is zero."""
    data, blur, _ = problem(borders=borders, shape=(20, 24), kind="spots", sigma=0.8)
    level, strength = typical_level(data, blur, {}), 0.1
    options = {"positive": False, "cycle_spinning": False, "wavelet": wavelet}
    x = last(run(fista, data, blur, 2000, strength=strength, **options))
    w = WaveletTransform(blur.object_shape, wavelet, dtype=x.dtype)
    force = w.forward(blur.adjoint(data - blur(x)) / level)
    detail = w.forward(x)
    assert float(force[w.approximation].abs().max()) < 1e-3 * strength
    force[w.approximation] = detail[w.approximation] = 0
    alive = detail.abs() > 1e-6 * float(detail.abs().max())
    assert 10 < int(alive.sum()) < 0.9 * detail.numel()
    assert torch.allclose(force[alive], strength * detail[alive].sign(), atol=1e-3 * strength)
    assert float(force.abs().max()) < strength * (1 + 1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_first_step_is_the_formula(method):
    """Written out with pywavelets: thresholds are odd, and spare the approximation."""
    data, blur, _ = problem(shape=(32, 64))
    level = typical_level(data, blur, {})
    found = last(
        run(method, data, blur, 1, wavelet="haar", scales=3, cycle_spinning=False, positive=False)
    )
    lower = data - blur.adjoint(blur(data) - data) / blur.norm_squared
    approximation, *details = pywt.wavedec2(lower.numpy(), "haar", "periodization", level=3)
    threshold = 0.03 * level / blur.norm_squared
    soft = [
        tuple(np.sign(b) * np.maximum(abs(b) - threshold, 0) for b in bands) for bands in details
    ]
    assert any((b < -threshold).any() for bands in details for b in bands)
    expected = pywt.waverec2([approximation, *soft], "haar", "periodization")
    assert found.numpy() == pytest.approx(expected, abs=1e-9)


class Opaque:
    """A forward model that does not tell that it is a convolution."""

    invariant = False

    def __init__(self, blur):
        self._blur = blur
        for name in ("norm_squared", "object_shape", "data_shape", "extend", "adjoint"):
            setattr(self, name, getattr(blur, name))

    def __call__(self, x, **options):
        return self._blur(x, **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(30, 33), (9, 16, 21)])
def test_one_transform_instead_of_two_changes_nothing(method, shape):
    data, blur, _ = problem(shape=shape)
    a = last(run(method, data, blur, 20)).clone()
    b = last(run(method, data, Opaque(blur), 20))
    assert torch.allclose(a, b, atol=1e-9 * float(data.max()))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spin", [False, True])
def test_moving_the_image_moves_the_result(method, spin):
    """By as many voxels as the coarsest wavelet steps."""
    data, blur, _ = problem(shape=(32, 48))
    options = {"wavelet": "db2", "scales": 3, "cycle_spinning": spin}
    there = last(run(method, data, blur, 15, **options)).clone()
    moved = last(run(method, data.roll((8, 16), (0, 1)), blur, 15, **options))
    assert torch.allclose(moved, there.roll((8, 16), (0, 1)), atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("borders", BORDERS)
@pytest.mark.parametrize("strength", [1e-8, 1e-4, 1.0, 1e2])
def test_any_strength_is_finite(method, borders, strength):
    data, blur, _ = problem(borders=borders, shape=(17, 24), dtype=torch.float32)
    for spin in (False, True):
        x = last(run(method, data, blur, 60, strength=strength, cycle_spinning=spin))
        assert torch.isfinite(x).all()
        assert float(x.min()) >= 0
        assert float(x.max()) < 100 * float(data.max())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_units_do_not_matter(method, factor):
    data, blur, _ = problem(shape=(24, 30), borders="extended")
    one = last(run(method, data, blur, 20)).clone()
    other = last(run(method, data * factor, blur, 20))
    assert torch.allclose(other, one * factor, rtol=1e-6, atol=1e-9 * factor)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(23, 32), (5, 18, 25)])
def test_a_constant_stays(method, shape):
    _, blur, _ = problem(shape=shape)
    x = last(run(method, torch.full(shape, 7.0, dtype=torch.float64), blur, 10, strength=10.0))
    assert torch.allclose(x, torch.full_like(x, 7.0), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_positivity(method):
    data, blur, _ = problem()
    free = last(run(method, data, blur, 50, positive=False, strength=1e-3))
    assert float(free.min()) < -1
    assert float(last(run(method, data, blur, 50, strength=1e-3)).min()) >= 0


def positive_minimum(data, blur, strength, wavelet, count=1000):
    """The exact one: Chen, Huang and Zhang 2016, doi:10.1186/s13663-016-0543-2."""
    w = WaveletTransform(blur.object_shape, wavelet, dtype=data.dtype)
    threshold = strength * typical_level(data, blur, {}) / blur.norm_squared
    x, dual = data.clone(), torch.zeros_like(data)
    for _ in range(count):
        lower = x - blur.adjoint(blur(x) - data) / blur.norm_squared
        dual = w.forward(lower.maximum(dual)).clamp_(-threshold, threshold)
        dual[w.approximation] = 0
        dual = w.inverse(dual)
        x = (lower - dual).clamp_(min=0)
    return x


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db4"])
def test_positivity_after_the_threshold_is_nearly_the_minimum(wavelet):
    """As docs/theory/wavelets.md tells; at a large strength, where it differs most."""
    data, blur, truth = problem(20, (32, 32), sigma=1.0)
    exact = positive_minimum(data, blur, 0.2, wavelet)
    options = {"strength": 0.2, "wavelet": wavelet, "cycle_spinning": False}
    found = last(run(fista, data, blur, 300, **options))
    least = objective(exact, data, blur, 0.2, wavelet)
    assert least < objective(found, data, blur, 0.2, wavelet) < 1.02 * least
    assert psnr(found, truth) == pytest.approx(psnr(exact, truth), abs=0.1)


@pytest.mark.parametrize("borders", ["circular", "extended"])
@pytest.mark.parametrize(("shape", "gain"), [((96, 96), 2.0), ((16, 48, 48), 2.0)])
def test_it_is_nearer_to_the_truth_than_the_image(shape, gain, borders):
    data, blur, truth = problem(50, shape, borders, torch.float32)
    x = blur.crop(last(run(fista, data, blur, 60, strength=0.03)))
    assert psnr(x, truth) > psnr(data, truth) + gain


def test_cycle_spinning_takes_the_grid_away():
    data, blur, truth = problem(100, (96, 96), dtype=torch.float32)
    options = {"strength": 0.01, "wavelet": "haar"}
    fixed = psnr(last(run(fista, data, blur, 60, cycle_spinning=False, **options)), truth)
    moving = last(run(fista, data, blur, 60, cycle_spinning=True, **options)).clone()
    assert psnr(moving, truth) > fixed + 0.5
    # Where the grid goes is no matter of chance.
    assert torch.equal(last(run(fista, data, blur, 60, **options)), moving)


@pytest.mark.parametrize("name", ["ista", "fista"])
def test_through_the_engine(name):
    data, _, _ = problem(dtype=torch.float32)
    psf = gaussian_psf((9, 9), 2.0)
    one = nd.restore(data.numpy(), name, psf=psf, strength=0.01, iterations=3, wavelet="sym4")
    other = nd.restore(data.numpy(), name, psf=psf, strength=0.01, iterations=3, wavelet="haar")
    assert one.shape == data.shape
    assert not np.allclose(one, other, rtol=1e-3)
    with pytest.raises(ParameterError, match="haar, spline-1"):
        nd.restore(data.numpy(), name, psf=psf, wavelet="bior2.2")


def test_blocks_agree_with_the_whole():
    """Steps are the same everywhere, and the wavelets' grid closes around the image and a block."""
    shape = (16, 250, 90)
    data, _, _ = problem(100, shape, dtype=torch.float32, sigma=1.5)
    options = {"iterations": 30, "strength": 0.1, "gain": 1.0}
    psf = gaussian_psf((9, 11, 11), 1.5)
    whole = nd.restore(data.numpy(), "fista", psf, **options)
    blocks = nd.restore(data.numpy(), "fista", psf, tiles=(16, 128, 90), **options)
    assert relative_rmse(blocks, whole) <= 2e-3
