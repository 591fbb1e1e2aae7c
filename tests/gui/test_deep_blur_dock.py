"""The Deep-Blur dock: aberrations found, shown, kept as a PSF's layer, and undone."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

import napari_deconv as nd
from napari_deconv.identification.optics import Pupils
from napari_deconv.simulation.phantoms import filaments
from napari_deconv.widgets.deep_blur import BLIND, DeepBlurWidget
from napari_deconv.widgets.layers import KEY, is_psf, voxel_size
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
        blurred, "deep-blur", psf.data, spacing=(0.1, 0.1), psf_spacing=(0.1, 0.1)
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
