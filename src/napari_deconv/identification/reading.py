"""Aberrations read from a spectrum by the network, and shares by the weighing."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from napari_deconv.identification.mixture import Mixture
from napari_deconv.identification.spectrum import Spectrum, half_plane

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deconv.networks.spectrum_encoder import SpectrumEncoder
    from napari_deconv.networks.weighing import Weighing

ENCODER, WEIGHING = "deep-blur-encoder", "deep-blur-weighing"


def read(spectrum: Spectrum, amplitude: float, network: SpectrumEncoder | None = None) -> Mixture:
    """Return what the network thinks possible, one way round or the other."""
    import torch

    network = network or encoder()
    told = (spectrum.noise, spectrum.windows, amplitude)
    with torch.no_grad():
        coefficients, weights = network(
            half_plane(spectrum.log)[None], *(torch.tensor([each]) for each in told)
        )
    return Mixture(coefficients[0], torch.softmax(weights[0], 0))


@cache
def encoder(source: str | Path = ENCODER) -> SpectrumEncoder:
    """Return a network; by default that of the package."""
    from napari_deconv.networks.spectrum_encoder import SpectrumEncoder
    from napari_deconv.networks.weights import load_weights

    loaded = load_weights(source, "spectrum encoder")
    network = SpectrumEncoder(**loaded.settings)
    network.load_state_dict(loaded.tensors)
    return network.eval().requires_grad_(False)


@cache
def weighing(source: str | Path = WEIGHING) -> Weighing:
    """Return a weighing; by default that of the package."""
    from napari_deconv.networks.weighing import Weighing
    from napari_deconv.networks.weights import load_weights

    loaded = load_weights(source, "weighing")
    network = Weighing(**loaded.settings)
    network.load_state_dict(loaded.tensors)
    return network.eval().requires_grad_(False)
