"""LUCYD, RLN and a CARE-like U-Net, trained alike: in the domain they know, and in another.

    python benchmarks/lucyd_rivals.py FOLDER [--steps 400] [--domains widefield light-sheet]

The pattern of the LUCYD paper's table 3, with our two degradations in place of its own, which are
not to be had. Each network sees the same crops in the same order (four of 32 x 32 x 32 voxels a
step), under the same loss and the same schedule; only the highest learning rate is its own. What
was trained is kept in FOLDER and not trained again. Judged on two phantoms that nothing was trained
on, with photon noise as in training, by the figures of lucyd.py.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lucyd as table
import numpy as np
import rivals
import torch

from napari_deconv.networks.lucyd import Lucyd
from napari_deconv.networks.precision import autocast
from napari_deconv.networks.weights import save_weights
from napari_deconv.training.loop import Loop
from napari_deconv.training.lucyd import repaired_loss, signal_to_noise
from napari_deconv.training.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from napari_deconv.training.recipes import Recipe
    from napari_deconv.training.supply import Supply

# Highest learning rates: ours, RLN's as published, and what a U-Net of this size bears.
NETWORKS = {"LUCYD": (Lucyd, 4e-3), "RLN": (rivals.Rln, 1.5e-2), "CARE-like": (rivals.Care, 5e-4)}
_UNSEEN, _PHANTOMS = 424_242, 2


class Training(Loop):
    """One of the networks, learning."""

    unit = "dB"

    def __init__(
        self, network: nn.Module, rate: float, recipe: Recipe, supply: Supply, folder: Path, n: int
    ) -> None:
        self._supply, self._apart = supply, recipe.judged(0)
        network = network.to(memory_format=torch.channels_last_3d)
        super().__init__(network, minutes=0.0, steps=n, rate=rate, folder=folder, device="cpu")

    def loss(self) -> Tensor:
        images, truths = self._supply.batch(self.step, 4, 32)
        with autocast(self.device):
            restored = self.network(images)
        return repaired_loss(restored.float(), truths)

    def judged(self) -> float:
        return signal_to_noise(self.network, *self._apart)

    def save(self, path: Path, settings: Mapping[str, Any], card: Mapping[str, Any]) -> str:
        return save_weights(path, self.best, "benchmark", settings, card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where trained networks are kept")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--domains", nargs="+", default=["widefield", "light-sheet"])
    parser.add_argument("--json")
    given = parser.parse_args()
    recipes = {name: RECIPES[name]() for name in given.domains}
    trained = {
        (name, domain): learned(name, domain, recipe, given.folder, given.steps)
        for domain, recipe in recipes.items()
        for name in NETWORKS
    }
    found: dict[str, Any] = {}
    for domain, recipe in recipes.items():
        pairs = [unseen(recipe, number) for number in range(_PHANTOMS)]
        contenders = {"image": None, **{f"{n}, of {d}": net for (n, d), net in trained.items()}}
        for contender, network in contenders.items():
            each = [
                table.figures(restored(network, image), truth, _UNSEEN) for truth, image in pairs
            ]
            row = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
            found[f"{contender} on {domain}"] = row
            print(
                f"on {domain:12} {contender:28} {row['ssim']:.3f}/{row['psnr']:.2f}  "
                f"windowed {row['windowed']:.3f}",
                flush=True,
            )
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=1), encoding="utf-8")


def learned(name: str, domain: str, recipe: Recipe, folder: Path, steps: int) -> nn.Module:
    """Return a network, trained or taken from the folder."""
    torch.manual_seed(0)
    make, rate = NETWORKS[name]
    # The same numbers again: all networks see the same crops.
    training = Training(
        make(), rate, recipe, recipe.supply(0), folder / f"{name}-{domain}-{steps}", steps
    )
    started = time.process_time()
    for progress in training.steps():
        if progress.step % 50 == 0:
            print(
                f"{name}, {domain}: step {progress.step}, best {progress.best:.2f} dB", flush=True
            )
    count = sum(p.numel() for p in training.network.parameters())
    print(
        f"{name}, {count:,} parameters, {domain}: {training.best_score:.2f} dB on pairs apart, "
        f"{time.process_time() - started:.0f} s of one core",
        flush=True,
    )
    training.network.load_state_dict(training.best)
    return training.network.eval()


def unseen(recipe: Recipe, number: int) -> tuple[table.Volume, table.Volume]:
    """Return a phantom and its noisy image."""
    truth, image = recipe.degradation.pair(recipe.shape, [_UNSEEN, number])
    random = torch.Generator().manual_seed(_UNSEEN + number)
    noisy = recipe.degradation.noisy(torch.from_numpy(image)[None, None], random)
    return truth, noisy[0, 0].numpy()


def restored(network: nn.Module | None, image: table.Volume) -> table.Volume:
    if network is None:
        return image
    with torch.no_grad():
        made: table.Volume = network(torch.from_numpy(image)[None, None])[0, 0].numpy()
    return made


if __name__ == "__main__":
    main()
