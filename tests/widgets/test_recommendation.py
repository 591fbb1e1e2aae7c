"""The recommended method follows from the photons in the image."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import pytest

from napari_deconv.registry import Advanced, Method, methods
from napari_deconv.simulation import simulate
from napari_deconv.widgets import recommendation
from napari_deconv.widgets.recommendation import FEW_PHOTONS, bright_photons, recommend


def variational(
    data,
    blur,
    *,
    regulariser: Literal["tv", "hessian-schatten"] = "tv",
    positivity: Annotated[bool, Advanced()] = False,
):
    """Not the real one: what is recommended is read from the signature."""


@pytest.fixture
def with_variational(monkeypatch):
    known = methods() | {
        "variational": Method("variational", "Variational (all)", (), variational, "sparse")
    }
    monkeypatch.setattr(recommendation, "methods", lambda: known)


@pytest.fixture
def scene():
    random = np.random.default_rng(0)
    obj = np.zeros((160, 160), np.float32)
    obj[tuple(random.integers(8, 152, (2, 400)))] = 1
    y, x = np.ogrid[-7:8, -7:8]
    psf = np.exp(-(y**2 + x**2) / 8).astype(np.float32)
    return obj, psf / psf.sum()


@pytest.mark.parametrize("gain", [1.0, 7.0])
@pytest.mark.parametrize("photons", [40, 400, 4000])
def test_photons_in_the_bright_places_are_counted(scene, photons, gain):
    """Whatever the camera makes of a photon, and above its offset."""
    image = gain * np.asarray(simulate(*scene, photons=photons, offset=0, read_noise=0, seed=1))
    counted = bright_photons(image + 300)
    assert photons / 1.5 < counted < 1.5 * photons


def test_few_photons_need_a_prior(with_variational):
    few = recommend(40.0)
    assert few.method == "variational"
    assert few.options == {"regulariser": "hessian-schatten", "positivity": True}
    assert "40" in few.words
    assert "(all)" not in few.words
    many = recommend(FEW_PHOTONS * 12.34)
    assert many.method == "richardson-lucy"
    assert "12000" in many.words
    assert recommend(None).method == "richardson-lucy"


def test_without_such_a_method_none_is_recommended(monkeypatch):
    known = {id_: entry for id_, entry in methods().items() if id_ != "variational"}
    monkeypatch.setattr(recommendation, "methods", lambda: known)
    assert recommend(40.0).method == "richardson-lucy"


@pytest.mark.skipif("variational" not in methods(), reason="it is not there yet")
def test_what_is_recommended_can_be_set():
    entry = methods()["variational"]
    options = recommend(40.0).options
    assert any(str(value).startswith("hessian") for value in options.values())
    for name, value in options.items():
        assert entry.parameters[name].check(value) == value
    assert replace(recommend(40.0)) == recommend(40.0)


def test_too_small_an_image_tells_nothing():
    assert bright_photons(np.ones((4, 4))) is None
