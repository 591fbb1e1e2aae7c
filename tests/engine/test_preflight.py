"""The lights before a job: each of them can turn, and tells what to do."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deconv import Microscope
from napari_deconv.engine.preflight import preflight, saturated_share, some_voxels

SPACING = (0.2, 0.1, 0.1)
SCOPE = Microscope(
    numerical_aperture=1.2, emission_wavelength=0.52, immersion_index=1.33, sample_index=1.33
)


@pytest.fixture
def image():
    """Photons of a few stripes, without any offset."""
    random = np.random.default_rng(0)
    x = np.arange(64)
    light = np.broadcast_to(40.0 * (np.abs(x - 40) < 8), (8, 64, 64))
    return random.poisson(light).astype(np.uint16)


@pytest.fixture
def psf():
    made = np.ones((3, 5, 5), np.float32)
    return made / made.sum()


def look(image, psf, **options):
    options = {"spacing": SPACING, "psf_spacing": SPACING, "forecast": False} | options
    return {light.name: light for light in preflight(image, psf, **options)}


def test_all_is_well(image, psf):
    lights = look(image, psf, microscope=SCOPE, forecast=True)
    assert {light.level for light in lights.values()} == {"ok"}
    assert set(lights) == {
        "values",
        "saturation",
        "offset",
        "sampling",
        "PSF voxels",
        "memory and time",
    }
    assert "MB" in lights["memory and time"].short
    assert all(light.text and light.short for light in lights.values())


def test_coarse_voxels(image, psf):
    fine = SCOPE.nyquist_spacing()
    assert look(image, psf, spacing=fine, microscope=SCOPE)["sampling"].level == "ok"
    coarse = look(image, psf, spacing=(fine[0], 2 * fine[1], 2 * fine[2]), microscope=SCOPE)
    assert coarse["sampling"].level == "warn"
    assert "Z" not in coarse["sampling"].short
    assert "X" in coarse["sampling"].short
    # A confocal microscope transmits more, so it needs finer ones.
    laser = Microscope(
        numerical_aperture=1.2,
        emission_wavelength=0.52,
        excitation_wavelength=0.488,
        immersion_index=1.33,
        sample_index=1.33,
        pinhole=0.1,
    )
    confocal = look(image, psf, spacing=fine, microscope=laser, modality="confocal")
    assert confocal["sampling"].level == "warn"


def test_unknown_voxel_size(image, psf):
    lights = look(image, psf, spacing=None, microscope=SCOPE)
    assert "sampling" not in lights
    assert lights["PSF voxels"].level == "warn"
    assert "image has no voxel size" in lights["PSF voxels"].short
    assert "PSF has no voxel size" in look(image, psf, psf_spacing=None)["PSF voxels"].short


def test_offset_and_its_remedy(image, psf):
    light = look(image + 100, psf)["offset"]
    assert light.level == "warn"
    assert light.remedy == "offset"
    assert light.value == pytest.approx(100, abs=2)
    for options in ({"offset": light.value}, {"background": light.value}):
        assert look(image + 100, psf, options=options)["offset"].level == "ok"
    for name in ("offset", "background"):
        assert look(image + 100, psf, options={name: "auto"})["offset"].level == "ok"
    background = np.full(image.shape, 100.0)
    assert look(image + 100, psf, options={"background": background})["offset"].level == "ok"
    # Too much of a remedy is told, too.
    assert look(image + 100, psf, options={"background": 130})["offset"].level == "warn"


@pytest.mark.parametrize(("top", "dtype"), [(255, np.uint8), (4095, np.uint16), (1000.0, "f4")])
def test_saturation(top, dtype):
    random = np.random.default_rng(1)
    bright = random.normal(0.5, 0.2, (4, 64, 64)) * top
    image = np.clip(bright, 0, top).astype(dtype)
    share = np.mean(bright >= top)
    assert saturated_share(image) == pytest.approx(share, rel=0.6)
    assert saturated_share((image * 0.5 + bright / 4).astype("f4")) == 0


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
def test_few_photons_are_not_saturation(dtype):
    image = np.random.default_rng(2).poisson(0.3, (4, 64, 64)).astype(dtype)
    assert saturated_share(image) == 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: np.where(a == a.max(), np.nan, a), "NaN"),
        (lambda a: np.where(a == a.max(), np.inf, a), "infinite"),
        (lambda a: a * 0 + 3, "constant"),
        (lambda a: a * 1e30, "values from"),
        (lambda a: a * 1e-30, "values from"),
        (lambda a: a[:0], "no image"),
        (lambda a: a.astype(complex), "complex"),
    ],
)
def test_images_that_cannot_be_used(image, psf, spoil, words):
    light = look(spoil(image.astype(float)), psf)["values"]
    assert light.level == "stop"
    assert words in light.short


def test_negative_values(image, psf):
    light = look(image.astype(float) - 1, psf)["values"]
    assert light.level == "warn"
    assert "negative" in light.short


@pytest.mark.parametrize(
    ("spoil", "level", "words"),
    [
        (lambda p: None, "stop", "no PSF"),
        (lambda p: p * 0, "stop", "zero everywhere"),
        (lambda p: p * np.nan, "stop", "NaN"),
        (lambda p: p[1], "warn", "a plane for a stack"),
        (lambda p: np.pad(p, 20), "ok", "larger"),
    ],
)
def test_psfs_that_do_not_go_with_the_image(image, psf, spoil, level, words):
    light = look(image, spoil(psf))["PSF"]
    assert light.level == level
    assert words in light.short


def test_a_stack_for_a_plane(image, psf):
    light = look(image[0], psf, spacing=SPACING[1:])["PSF"]
    assert light.level == "stop"
    assert "2 axes, the PSF 3" in light.short


def test_resampled_psf(image, psf):
    assert look(image, psf, psf_spacing=(0.2, 0.1, 0.1003))["PSF voxels"].short == "PSF voxels"
    assert "resampled" in look(image, psf, psf_spacing=(0.1, 0.1, 0.1))["PSF voxels"].short


def test_settings_that_do_not_fit_are_told(image, psf):
    lights = look(image, psf, forecast=True, options={"iterations": 0})
    assert lights["settings"].level == "stop"
    assert "iterations" in lights["settings"].text


def test_of_a_large_or_lazy_image_some_planes_are_read():
    class Lazy:
        """4 times 500 planes of 256 x 256, of which nobody may want all."""

        shape, dtype, ndim = (4, 500, 256, 256), np.dtype("u2"), 4
        read = 0

        def __getitem__(self, index):
            assert len(index) == 2
            self.read += 1
            return np.full((256, 256), 7 + self.read, np.uint16)

    lazy = Lazy()
    sample = some_voxels(lazy)
    assert 20 <= lazy.read <= 80
    assert sample.shape == (lazy.read, 256, 256)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        ((3, 40, 50), (3, 40, 50)),
        ((100, 200, 200), (15, 200, 200)),
        ((4, 1000, 4000), (1, 632, 632)),
        ((9000, 9000), (1, 632, 632)),
        ((2, 50, 90_000), (1, 50, 8000)),
    ],
)
def test_of_an_image_of_any_size_some_voxels_are_looked_at(monkeypatch, shape, seen):
    from napari_deconv.engine import preflight

    monkeypatch.setattr(preflight, "_ENOUGH", 400_000)

    class Lazy:
        """As large as it says, and nowhere."""

        def __init__(self):
            self.shape = shape

        def __getitem__(self, index):
            whole = np.broadcast_to(np.float32(1), shape)
            return whole[index]

        def __array__(self, dtype=None, copy=None):
            return self[...]

    some = preflight.some_voxels(Lazy())
    assert some.shape[-2:] == seen[-2:]
    assert some.size <= 2 * 400_000
    assert some.reshape(-1, *seen[-2:]).shape[0] == pytest.approx(seen[0], abs=5)
