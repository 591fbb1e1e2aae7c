import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.errors import ParameterError
from napari_deconv.operators.wavelet_filters import wavelet_filter
from napari_deconv.operators.wavelet_steps import lattice
from napari_deconv.operators.wavelets import WaveletTransform, soft_threshold

SPLINES = {"spline-1": 1, "spline-3": 3, "spline-5": 5}
FAMILIES = [n for family in ("db", "sym", "coif") for n in pywt.wavelist(family)]
# Lattices (at most 16 taps) and banded matrices, short and long against the shapes below.
SOME = ["haar", *SPLINES, "db2", "db3", "db8", "db20", "sym4", "sym8", "sym20", "coif1", "coif3"]
SHAPES = [(64, 64), (37, 50), (1, 9), (130, 5), (16, 33, 21), (12, 200, 15), (5, 6, 7)]


def transform(shape, *options, **more):
    return WaveletTransform(shape, *options, dtype=torch.float64, **more)


def random(shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("name", ["haar", *SPLINES, *FAMILIES])
def test_filters_are_orthonormal(name):
    taps = wavelet_filter(name).taps
    assert len(taps) % 2 == 0
    for shift in range(0, len(taps), 2):
        product = np.dot(taps[shift:], taps[: len(taps) - shift])
        assert product == pytest.approx(1.0 if shift == 0 else 0.0, abs=1e-7)
    assert taps.sum() == pytest.approx(np.sqrt(2), abs=1e-7)


@pytest.mark.parametrize("name", ["bior2.2", "dmey", "sym1", "spline3", "", "db"])
def test_other_names_are_refused_with_those_there_are(name):
    with pytest.raises(ParameterError, match="spline-5, db1 to db38, sym2 to sym20, coif1 to"):
        wavelet_filter(name)


@pytest.mark.parametrize("name", SPLINES)
def test_splines_are_symmetric_and_blind_to_polynomials(name):
    """A spline of degree n has n + 1 vanishing moments (Mallat, A Wavelet Tour, section 7.2)."""
    taps = wavelet_filter(name).taps
    assert taps[:-1] == pytest.approx(taps[-2::-1])
    highpass = wavelet_filter(name).highpass
    place = np.arange(len(highpass)) - len(highpass) / 2
    for power in range(SPLINES[name] + 1):
        moment, size = np.dot(place**power, highpass), np.dot(abs(place) ** power, abs(highpass))
        # The powers weigh the tails, which are cut off.
        assert abs(moment) < 1e-4 * size
    polynomial = (np.arange(400) / 400.0) ** SPLINES[name]
    inside = slice(len(highpass), 400 - len(highpass))
    assert abs(np.convolve(polynomial, highpass, "same")[inside]).max() < 1e-7


def test_cubic_spline_has_mallats_taps():
    """A Wavelet Tour of Signal Processing, table 7.1."""
    taps = wavelet_filter("spline-3").taps
    expected = [0.766130398, 0.433923147, -0.050201753, -0.110036987, 0.032080869, 0.042068328]
    assert taps[taps.argmax() :][:6] == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("scales", [1, 4])
def test_perfect_reconstruction_energy_and_adjoint(name, shape, scales):
    w = transform(shape, name, scales)
    x, c = random(shape), random(shape, 1)
    forward, back = w.forward(x), w.inverse(c)
    # The splines' filters end where their taps fall below 1e-8.
    exact = 1e-6 if name in SPLINES else 1e-9
    assert torch.allclose(w.inverse(forward), x, rtol=0, atol=exact)
    assert torch.allclose(w.forward(back), c, rtol=0, atol=exact)
    assert float(forward.norm()) == pytest.approx(float(x.norm()), rel=exact)
    assert float((forward * c).sum()) == pytest.approx(float((x * back).sum()), abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 40), min_size=2, max_size=3),
    name=st.sampled_from(SOME),
    scales=st.integers(1, 6),
)
def test_any_shape(shape, name, scales):
    w = transform(shape, name, scales)
    x = random(shape)
    assert torch.allclose(w.inverse(w.forward(x)), x, rtol=0, atol=1e-6)
    details = w.forward(torch.ones(shape, dtype=torch.float64))
    details[w.approximation] = 0
    assert float(details.abs().max()) < 1e-6
    assert all(0 < s <= scales for s, n in zip(w.scales, shape, strict=True) if n > 1)


@pytest.mark.parametrize("name", ["haar", "db2", "db5", "sym4", "sym8", "coif1", "db12", "coif4"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_scale_is_pywavelets(name, axis):
    """Up to where a pair begins, which coefficient is the first, and the wavelet's sign."""
    shape = [3, 4, 5]
    shape[axis] = 48
    x = random(shape).numpy()
    low, high = pywt.dwt(x, name, mode="periodization", axis=axis)
    moved = np.roll(x, wavelet_filter(name).taps.size // 2 - 1, axis)
    w = transform((1, 48), name, 1)
    lines = np.moveaxis(moved, axis, -1).reshape(-1, 48)
    found = np.stack([w.forward(torch.from_numpy(line)[None])[0].numpy() for line in lines])

    def as_lines(band):
        return np.moveaxis(band, axis, -1).reshape(-1, 24)

    assert as_lines(low) == pytest.approx(found[:, :24], abs=1e-8)
    shifts = [np.roll(found[:, 24:], k, -1) for k in range(24)]
    assert any(np.allclose(as_lines(high), sign * s, atol=1e-8) for s in shifts for sign in (1, -1))


def test_mallats_layout():
    """Each band answers to its own direction and scale alone."""
    w = transform((32, 64), "haar", 2)
    assert w.scales == (2, 2)
    assert w.approximation == (slice(8), slice(16))
    stripes = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(32).expand(32, 64)
    wide = stripes[:, :32].repeat_interleave(2, dim=1)
    for x, rows, columns in (
        (stripes, slice(16), slice(32, 64)),
        (wide, slice(8), slice(16, 32)),
        (stripes[:, :32].T.contiguous().expand(-1, -1).repeat(1, 2)[:32], slice(16, 32), slice(32)),
    ):
        c = w.forward(x.contiguous())
        assert float(c[rows, columns].abs().min()) > 0.5
        assert float(c[rows, columns].norm()) == pytest.approx(float(x.norm()))


@pytest.mark.parametrize("name", ["haar", "db4", "spline-1"])
def test_moving_by_the_coarsest_step_moves_the_coefficients(name):
    w = transform((32, 64), name, 2)
    x = random((32, 64))
    moved = w.forward(x.roll((4, 8), (0, 1)))
    there = w.forward(x)
    bands = [
        ((slice(8), slice(16)), (1, 2)),
        ((slice(8, 16), slice(16)), (1, 2)),
        ((slice(16, 32), slice(32, 64)), (2, 4)),
    ]
    for band, steps in bands:
        assert torch.allclose(moved[band], there[band].roll(steps, (0, 1)), atol=1e-12)


def test_scales_end_where_the_wavelet_is_longer_than_what_is_left():
    assert transform((256, 256), "db2").scales == (4, 4)
    assert transform((10, 256, 256), "db2").scales == (1, 4, 4)
    assert transform((8, 100, 12), "haar", 3).scales == (3, 3, 3)
    assert transform((3, 100, 1), "spline-5").scales == (1, 2, 0)


@pytest.mark.parametrize("name", ["haar", "sym4", "spline-1"])
@pytest.mark.parametrize("shape", [(40, 33), (9, 32, 50)])
def test_borrowed_memory_gives_the_same(name, shape):
    w, x = transform(shape, name), random(shape)
    kept = x.clone()
    c = w.forward(x)
    lent = w.forward(x, borrow=True)
    assert torch.equal(lent, c)
    back = w.inverse(lent, borrow=True)
    assert back.data_ptr() == w.work.data_ptr()
    assert torch.allclose(back, x, atol=1e-6)
    w.work.copy_(x)
    assert torch.equal(w.forward(w.work, borrow=True), c)
    assert torch.equal(x, kept)
    # A view with padded rows, as a Fourier transform's work buffer is.
    padded = torch.zeros((*shape[:-1], shape[-1] + 2), dtype=torch.float64)[..., : shape[-1]]
    padded.copy_(x)
    assert torch.allclose(w.forward(padded), c, atol=1e-12)


@pytest.mark.parametrize("name", ["haar", "db4", "spline-3"])
def test_float32(name):
    x = random((33, 48, 40))
    single = WaveletTransform(x.shape, name).forward(x.float())
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), transform(x.shape, name).forward(x), atol=1e-5)


@pytest.mark.parametrize("name", [n for n in FAMILIES if pywt.Wavelet(n).dec_len <= 16])
def test_rotations_make_the_filter(name):
    """Multiplied out, they give the taps again."""
    taps = wavelet_filter(name).taps
    low, high = np.array([1.0]), np.array([1.0])
    for number, angle in enumerate(lattice(taps)):
        low, high = np.append(low, [0.0] * (1 + (number > 0))), np.append([0.0, 0.0], high)
        high = high[-len(low) :]
        c, s = np.cos(angle), np.sin(angle)
        low, high = c * low + s * high, -s * low + c * high
    assert low == pytest.approx(taps, abs=1e-10)


def test_soft_threshold_is_odd():
    """Negative coefficients shrink as positive ones do; DeconvolutionLab2 enlarges them."""
    c = torch.tensor([-3.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 3.0])
    found = soft_threshold(c.clone(), 1.0)
    assert found.tolist() == [-2.0, -0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 2.0]
    assert torch.equal(found, -soft_threshold(-c, 1.0))


@pytest.mark.parametrize("name", ["haar", "db4", "spline-1"])
@pytest.mark.parametrize("shift", [(1, 2), (7, 0), (-3, 21)])
def test_a_shifted_grid_is_a_rolled_array(name, shift):
    w, x = transform((32, 48), name), random((32, 48))
    expected = w.forward(x.roll([-s for s in shift], (0, 1)))
    w.shift = shift
    found = w.forward(x)
    assert torch.allclose(found, expected, atol=1e-12)
    assert torch.allclose(w.inverse(found), x, atol=1e-6)
    w = transform((17, 9, 13), name)
    x = random(w.shape)
    w.shift = (3, 2, 5)
    assert float(w.forward(x).norm()) == pytest.approx(float(x.norm()), rel=1e-6)
    assert torch.allclose(w.inverse(w.forward(x)), x, atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 64), (37, 50), (16, 33, 21), (12, 200, 15), (5, 6, 7)])
@pytest.mark.parametrize("name", ["haar", "db2", "db3", "db8", "sym8", "coif1"])
def test_compiled_loops_do_what_torch_does(monkeypatch, name, shape):
    x = random(shape, seed=4).float()
    # A part of longer rows, as an object in the memory of its transform.
    padded = torch.zeros(*shape[:-1], shape[-1] + 3)[..., : shape[-1]].copy_(x)
    for shift in ((0,) * len(shape), (1, 2, 3)[: len(shape)], (-7,) * len(shape)):
        found = []
        for loops in ("off", "auto"):
            monkeypatch.setenv("NAPARI_DECONV_NUMBA", loops)
            made = WaveletTransform(shape, name, 3)
            made.shift = shift
            coefficients = made.forward(padded)
            found.append((coefficients, made.inverse(coefficients.clone())))
        (plain, _), (compiled, back) = found
        torch.testing.assert_close(compiled, plain, rtol=0, atol=1e-5)
        torch.testing.assert_close(back, x, rtol=0, atol=1e-5)
        assert torch.equal(padded, x)


@pytest.mark.parametrize(
    "part",
    [
        lambda x: x[1:, 1:, 1:],
        lambda x: x[:1].expand(12, -1, -1)[:, :19, :20],
        lambda x: x.transpose(0, 1)[:12, :11, :20],
        lambda x: x[2:11, 3:12, :20],
        lambda x: x[0, 4:, 5:],
        lambda x: x[::2, ::2],
    ],
)
def test_parts_of_other_arrays_are_transformed_as_copies_are(part):
    """Loops over whole rows must not reach beyond the memory, nor into a neighbour's."""
    whole = random((12, 20, 21), seed=6).float()
    kept, x = whole.clone(), part(whole)
    made = WaveletTransform(x.shape, "db2", 2)
    torch.testing.assert_close(made.forward(x), made.forward(x.clone()), rtol=0, atol=1e-6)
    assert torch.equal(whole, kept)


@pytest.mark.parametrize("shape", [(24, 33, 21), (70, 45)])
@pytest.mark.parametrize("name", ["haar", "db3"])
def test_threads_share_the_loops(name, shape, monkeypatch):
    x = random(shape, seed=5).float()
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(WaveletTransform(x.shape, name, 3).forward(x))
    monkeypatch.undo()
    assert torch.get_num_threads() == before
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)
