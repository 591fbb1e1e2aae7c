"""Make all that blind identification has learned, one part after the other.

    napari-deconv train deep-blur-identification --images FOLDER --keep FOLDER -o FOLDER

The spectra of sharp scenes (a minute), the network that reads spectra, the one that decides which
way round, and the weighing of all there is (a second a case), which needs the three others. The
paper's residual encoder is trained by the same command, for comparison.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_deconv.identification import prior, reading, sign
from napari_deconv.networks.weights import save_weights
from napari_deconv.training import (
    blind_prior,
    blind_resnet,
    blind_signs,
    blind_spectra,
    blind_weighing,
)
from napari_deconv.training.blind_scenes import CHOSEN, LEARNED, Scenes, photographs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import nn

# Parts, in the order in which they need each other, and minutes of each by default.
PARTS = {"prior": 1.0, "encoder": 70.0, "sign": 8.0, "weighing": 12.0, "resnet": 10.0}
RESNET = "deep-blur-resnet"
_SYNTHETIC, _APART = 100, 14
# Seconds that a case of the weighing takes, and a pair of restorations; fewest of either.
_CASE, _PAIR = 0.6, 0.04
_FEWEST = 4
_DATA = (
    "Kodak photographs 1 to 14 and synthetic microscopy (filaments, beads, nuclei, shells, dead "
    "leaves), blurred by Noll 4 to 11, each evenly from -0.15 to 0.15 waves (a third of them from "
    "smaller ranges), cutoff 0.2, seen without borders; a fifth without noise, else 0.001 to 0.06 "
    "of the range, of photons, camera or both"
)
_APART_DATA = "Kodak photographs 15 and 16 and other synthetic microscopy"
_LICENCE = "BSD-3-Clause; made by the napari-deconv developers"
_LIMITS = (
    "planes in focus at cutoffs up to 0.25 cycles per pixel, one PSF for the whole image, "
    "aberrations of Noll 4 to 11 up to 0.15 waves each, noise that is white"
)


def train(
    images: Path,
    kept: Path,
    output: Path,
    *,
    parts: Mapping[str, float] = PARTS,
    seed: int = 0,
    command: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Mapping[str, float]]:
    """Train parts for their minutes, and write their weights; return what they reached, dB.

    Parameters
    ----------
    images
        Folder of ``kodak_144x256x256_gray.npz``.
    kept
        Folder of what is needed to go on: a second call trains the networks further.
    output
        Folder of the weights.
    parts
        Which parts, with their minutes.
    seed
        Start of the random numbers.
    command
        What the cards tell of how this was called.
    say
        Told of each part.
    """
    for folder in (kept, output):
        folder.mkdir(parents=True, exist_ok=True)
    # Who has only seconds does not wait minutes for scenes.
    share = min(1.0, sum(parts.values()))
    counts = [max(2, round(share * count)) for count in (_SYNTHETIC, _APART)]
    scenes = Scenes(photographs(images, LEARNED), synthetic=counts[0], seed=seed, kept=kept)
    apart = Scenes(photographs(images, CHOSEN), synthetic=counts[1], seed=seed + 999, kept=kept)
    reached: dict[str, Mapping[str, float]] = {}
    makers: dict[str, Callable[[float], Mapping[str, float]]] = {
        "prior": lambda minutes: _prior(scenes, output, seed, minutes, command),
        "encoder": lambda minutes: _encoder(scenes, apart, kept, output, seed, minutes, command),
        "sign": lambda minutes: _sign(scenes, apart, output, seed, minutes, command),
        "weighing": lambda minutes: _weighing(apart, kept, output, seed, minutes, command),
        "resnet": lambda minutes: _resnet(scenes, apart, kept, output, seed, minutes, command),
    }
    for name, make in makers.items():
        if name in parts:
            say(f"{name}: {parts[name]:g} minutes")
            reached[name] = make(parts[name])
            say(f"{name}: " + ", ".join(f"{k} {v:.2f}" for k, v in reached[name].items()))
    return reached


def _prior(
    scenes: Scenes, output: Path, seed: int, minutes: float, command: Mapping[str, Any] | None
) -> Mapping[str, float]:
    found = blind_prior.learn(scenes, share=min(1.0, minutes / PARTS["prior"]), seed=seed)
    card = _card(
        "deep-blur: the spectra of sharp scenes",
        "principal components of log spectra, crops of 98, 226 and 482 pixels",
        {},
        command,
    )
    save_weights(output / f"{prior.NAME}.safetensors", asdict(found), "spectrum prior", {}, card)
    return {f"rest at {n:.0f} windows": float(v.mean()) for n, v in zip(
        found.windows, found.rest, strict=True
    )}  # fmt: skip


def _encoder(
    scenes: Scenes, apart: Scenes, kept: Path, output: Path, seed: int, minutes: float,
    command: Mapping[str, Any] | None,
) -> Mapping[str, float]:  # fmt: skip
    share = min(1.0, minutes)
    network, scores, steps = blind_spectra.train(
        scenes,
        apart,
        kept,
        minutes,
        seed=seed,
        first=max(16, round(512 * share)),
        scored=max(16, round(192 * share)),
    )
    card = _card(
        "deep-blur: aberrations read from a spectrum",
        f"{steps} steps of {blind_spectra.BATCH} spectra; the logarithm of the relative squared "
        "error of the PSF, either way round; Adam, mean of the last weights",
        {f"PSF SNR, dB, the better way round, on {_APART_DATA}": dict(scores)},
        command,
    )
    _save(network, output / f"{reading.ENCODER}.safetensors", "spectrum encoder", card)
    return scores


def _sign(
    scenes: Scenes,
    apart: Scenes,
    output: Path,
    seed: int,
    minutes: float,
    command: Mapping[str, Any] | None,
) -> Mapping[str, float]:
    count = max(_FEWEST, round(60 * minutes / _PAIR))
    random = np.random.default_rng([seed, 7])
    cases = [blind_signs.draw(scenes, random) for _ in range(count)]
    random = np.random.default_rng([seed, 8])
    judged = [blind_signs.draw(apart, random) for _ in range(max(_FEWEST, count // 10))]
    network, scores = blind_signs.learn(cases, judged, seed=seed)
    card = _card(
        "deep-blur: which way round",
        f"{count} pairs of restorations of 66 to 482 pixels, with PSFs as wrong as "
        "estimates are; cross entropy, weighted by what the decision matters",
        {f"share decided rightly, weighted, on {_APART_DATA}": scores},
        command,
    )
    settings = {"differences": cases[0][0].numel()}
    path = output / f"{sign.NAME}.safetensors"
    _save(network, path, "sign network", card, settings, half=False)
    return scores


def _weighing(
    apart: Scenes, kept: Path, output: Path, seed: int, minutes: float,
    command: Mapping[str, Any] | None,
) -> Mapping[str, float]:  # fmt: skip
    encoder = reading.encoder(output / f"{reading.ENCODER}.safetensors")
    signs = sign.network(output / f"{sign.NAME}.safetensors")
    known = prior.load(output / f"{prior.NAME}.safetensors")
    count = max(_FEWEST, round(60 * minutes / _CASE))
    cases = [
        blind_weighing.case(apart, np.random.default_rng([seed, 11, i]), known, encoder, signs)
        for i in range(count)
    ]
    facts, products = (torch.stack(each) for each in zip(*cases, strict=True))
    torch.save((facts, products), kept / "weighing.pt")
    network, scores = blind_weighing.learn(facts, products, seed=seed)
    card = _card(
        "deep-blur: shares of fit, network and mean PSF",
        f"{count} cases of {_APART_DATA}, which neither prior nor networks were trained on",
        {"on these cases": scores},
        command,
    )
    _save(network, output / f"{reading.WEIGHING}.safetensors", "weighing", card, half=False)
    return scores


def _resnet(
    scenes: Scenes, apart: Scenes, kept: Path, output: Path, seed: int, minutes: float,
    command: Mapping[str, Any] | None,
) -> Mapping[str, float]:  # fmt: skip
    settings = {"width": 16, "blocks": [1, 1, 1, 1]}
    network, scores, steps = blind_resnet.train(
        scenes, apart, kept, minutes, seed=seed, width=16, blocks=(1, 1, 1, 1)
    )
    card = _card(
        "deep-blur: the paper's residual encoder, for comparison",
        f"{steps} steps of {blind_resnet.BATCH} images of {blind_resnet.SIDE} pixels",
        {f"PSF SNR, dB, on {_APART_DATA}": dict(scores)},
        command,
    )
    _save(network, output / f"{RESNET}.safetensors", "ResNet encoder", card, settings)
    return scores


def _save(
    network: nn.Module,
    path: Path,
    kind: str,
    card: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    *,
    half: bool = True,
) -> None:
    tensors = {
        name: value.half() if half and value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    save_weights(path, tensors, kind, settings or {}, card)


def _card(
    title: str, how: str, scores: Mapping[str, Any], command: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        "title": title,
        "data": _DATA,
        "training": how,
        "scores": scores,
        "limits": _LIMITS,
        "licence": _LICENCE,
        **(command or {}),
    }
