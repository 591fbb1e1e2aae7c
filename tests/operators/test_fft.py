import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.operators import fft


def test_fast_length_is_the_next_even_smooth_number():
    def smooth(n):
        for p in (2, 3, 5, 7):
            while n % p == 0:
                n //= p
        return n == 1

    for minimum in range(1, 300):
        found = fft.fast_length(minimum)
        expected = next(n for n in range(max(2, minimum), 1000) if n % 2 == 0 and smooth(n))
        assert found == expected


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 12), min_size=2, max_size=3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**31),
)
def test_the_fastest_transform_is_torchs(shape, dtype, seed):
    data = torch.from_numpy(np.random.default_rng(seed).random(shape)).to(dtype)
    plan = fft.transform(shape, dtype=dtype, device=torch.device("cpu"))
    plan.work.copy_(data)
    spectrum = plan.forward().clone()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert float((spectrum - torch.fft.rfftn(data)).abs().max()) < tolerance * data.numel()
    plan.inverse(spectrum)
    assert float((plan.work - data).abs().max()) < tolerance


def test_the_off_switch(monkeypatch):
    monkeypatch.setenv("NAPARI_DECONV_FFT", "torch")
    assert fft.backend() == ("torch.fft", "NAPARI_DECONV_FFT=torch")
    plan = fft.transform((4, 6), dtype=torch.float32, device=torch.device("cpu"))
    assert type(plan) is fft.Transform


def test_a_library_that_fails_its_self_test_is_not_used(monkeypatch):
    """The fallback says why, and asking for MKL then is an error, not a silent change."""

    def wrong(library):
        raise ArithmeticError("self-test differs by 1.0e+00")

    monkeypatch.setattr(fft, "_self_test", wrong)
    fft._mkl.cache_clear()
    try:
        name, reason = fft.backend()
        assert name == "torch.fft"
        assert "self-test differs" in reason or "no library" in reason or "not exist" in reason
        monkeypatch.setenv("NAPARI_DECONV_FFT", "mkl")
        with pytest.raises(RuntimeError, match="unset it"):
            fft.backend()
    finally:
        fft._mkl.cache_clear()


def test_the_self_test_sees_a_wrong_scale():
    if fft.backend().name != "mkl":
        pytest.skip(f"no MKL here: {fft.backend().reason}")
    library = fft._mkl()[0]

    class Scaled:
        def __getattr__(self, name):
            if name == "DftiComputeBackward":
                return lambda plan, address: 0  # leaves the spectrum where the image should be
            return getattr(library, name)

    with pytest.raises(ArithmeticError, match="differs"):
        fft._self_test(Scaled())
