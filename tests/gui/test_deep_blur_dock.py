"""The Deep-Blur dock: aberrations found, shown, kept as a PSF's layer, and undone."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

import napari_deconv as nd
from napari_deconv import identification
from napari_deconv.identification import FieldIdentification
from napari_deconv.identification.optics import MODES, Pupils
from napari_deconv.methods.deep_blur import FELT
from napari_deconv.optics.variant import VariantPsf
from napari_deconv.optics.zernike import name
from napari_deconv.simulation.phantoms import filaments
from napari_deconv.widgets.blur_maps import KIND
from napari_deconv.widgets.deep_blur import BLIND, DeepBlurWidget
from napari_deconv.widgets.layers import KEY, is_psf, voxel_size
from napari_deconv.widgets.look import psf_arrays
from problems import relative_rmse

pytestmark = pytest.mark.gui

ABERRATIONS = [0.1, 0.0, 0.08, 0.06, -0.05, 0.0, 0.0, 0.0]
OPTICS = {"numerical_aperture": 1.2, "emission_wavelength": 0.6}


@pytest.fixture(scope="module")
def blurred():
    truth = gaussian_filter(filaments((158, 158), count=60, seed=3), 0.6)
    psf = Pupils(0.2, (31, 31)).psf(torch.tensor([ABERRATIONS]))[0].numpy()
    image = fftconvolve(truth, psf / psf.sum(), mode="valid").clip(min=0)
    return (100 + 1000 * image / image.max()).astype(np.float32)


@pytest.fixture
def dock(viewer, blurred, settle):
    viewer.add_image(
        blurred,
        name="cells",
        scale=(0.1, 0.1),
        units="um",
        metadata={KEY: {"kind": "sample", "microscopes": [OPTICS]}},
    )
    dock = DeepBlurWidget(viewer)
    viewer.window.add_dock_widget(dock)
    settle(dock)
    return dock


def test_takes_the_optics_from_the_layer(dock):
    assert {name: dock.form.values[name] for name in OPTICS} == OPTICS
    assert dock.psf.word == BLIND


def test_finds_the_psf_and_restores_with_it(viewer, dock, blurred, settle):
    assert not dock.aberrations.isVisibleTo(dock)
    dock.identify.click()
    settle(dock)
    psf = dock.psf_layer
    assert psf is not None
    assert is_psf(psf)
    assert voxel_size(psf) == (0.1, 0.1)
    assert psf.data.sum() == pytest.approx(1, abs=1e-4)
    finding = dock.aberrations.shown
    assert dock.aberrations.verdict.text() == finding.verdict
    assert len(dock.aberrations.bars.rows) == len(finding.coefficients) == 8
    assert finding.wavelength == pytest.approx(0.6)
    dock.strip.run.click()
    settle(dock)
    result = viewer.layers[-1]
    assert result.metadata[KEY]["method"] == "deep-blur"
    expected = nd.restore(
        blurred,
        "deep-blur",
        psf.data,
        spacing=(0.1, 0.1),
        psf_spacing=(0.1, 0.1),
        psf_error=psf.metadata[KEY]["psf_error"],
    )
    # Networks in bfloat16 round otherwise where another number of threads computes.
    assert relative_rmse(result.data, expected) < 5e-3
    assert not dock.strip.continuing.isVisibleTo(dock)


def test_restores_blindly_in_one_click_and_keeps_the_psf(viewer, dock, blurred, settle):
    dock.strip.run.click()
    settle(dock)
    result = viewer.layers[-1]
    psf = next(layer for layer in viewer.layers if layer.name == "PSF found in cells")
    assert dock.psf.word == BLIND
    expected, details = nd.restore(blurred, "deep-blur", spacing=(0.1, 0.1), details=True, **OPTICS)
    # Networks in bfloat16 round otherwise where another number of threads computes.
    assert relative_rmse(result.data, expected) < 5e-3
    np.testing.assert_allclose(psf.data, details.psf, atol=1e-6)
    assert dock.aberrations.shown.strehl == pytest.approx(details.found["strehl"])


@pytest.fixture
def field(monkeypatch):
    """Coma from left to right, found without a search, which has tests of its own."""
    nodes = np.linspace(0, 1, 5)
    maps = np.zeros((5, 5, 8), np.float32)
    maps[..., 2], maps[..., 4] = 0.06, 0.24 * nodes - 0.12
    psfs = Pupils(0.2).psf(torch.from_numpy(maps).reshape(-1, 8)).numpy()

    def found(image, *, spacing, **optics):
        places = tuple(nodes * (n - 1) for n in image.shape)
        at = np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, 2)
        return FieldIdentification(
            psf=VariantPsf.from_psfs(psfs, at, image.shape, spacing=spacing, align=False),
            coefficients={j: maps[..., i] for i, j in enumerate(MODES)},
            places=places,
            strehl=np.full((5, 5), 0.4, np.float32),
            degree=1,
            flip_probability=0.0,
            confidence=0.9,
            expected_snr=14.0,
            verdict="The PSF changes over the field.",
            cutoff=0.2,
            noise=1.0,
        )

    monkeypatch.setattr(identification, "identify_field", found)
    return maps


def test_finds_a_field_restores_with_it_and_shows_its_maps(viewer, dock, field, blurred, settle):
    assert not dock.form.fields["psf_varies"].parameter.advanced
    dock.form.set_values({"psf_varies": True})
    for _ in range(2):  # the maps of another look take the place of the first
        dock.strip.run.click()
        settle(dock)
    image, result = viewer.layers["cells"], viewer.layers[-1]
    maps = [layer for layer in viewer.layers if layer.metadata[KEY]["kind"] == KIND]
    assert len(maps) == 9
    (shown,) = (layer for layer in maps if layer.visible)
    assert shown.name == f"{name(8)}, waves rms, cells"
    assert shown.units == image.units
    # Its pixels together cover those of the image.
    edges = [layer.extent.world + np.outer([-0.5, 0.5], layer.scale) for layer in (shown, image)]
    np.testing.assert_allclose(*edges)
    np.testing.assert_allclose(shown.data[:, 0], field[0, 0, 4], atol=2e-3)
    np.testing.assert_allclose(shown.data.mean(1), 0, atol=1e-6)
    assert "changes over the field" in dock.aberrations.verdict.text()
    assert dock.aberrations.shown.coefficients[6] == pytest.approx(0.06)
    # The layer is a PSF for every method that takes steps, and knows how wrong it may be.
    psf = next(layer for layer in viewer.layers if layer.name == "Field PSF found in cells")
    dock.psf.choose(psf)
    assert dock.work().options["psf_error"] == pytest.approx(FELT * 10 ** (-14 / 20))
    dock.strip.run.click()
    settle(dock)
    assert relative_rmse(viewer.layers[-1].data, result.data) < 5e-3
    variant = psf_arrays(psf)
    classic = nd.restore(blurred, "richardson-lucy", variant, spacing=(0.1, 0.1), iterations=2)
    assert classic.shape == blurred.shape


def test_says_what_it_cannot_look_at(viewer, settle):
    viewer.add_image(np.full((64, 64), 7.0, np.float32), name="nothing")
    dock = DeepBlurWidget(viewer)
    viewer.window.add_dock_widget(dock)
    settle(dock)
    dock.identify.click()
    settle(dock)
    assert "same" in dock.strip.said or "constant" in dock.strip.said
    assert not dock.aberrations.isVisibleTo(dock)
    assert dock.identify.isEnabled()
