"""Train CiDeR's feature extractor end to end, through the deconvolution of its features.

    python -m napari_deconv.training.extractor NATURAL OUTPUT --minutes 15

As in deep Wiener deconvolution (Dong, Roth and Schiele 2020), from which the paper takes its
extractor: features of the blurred image are deconvolved by a Wiener filter, a small network makes
an image of them, and both networks learn from the error of that. ``--filter-bank`` trains the same
with the fixed filters in the extractor's place, which tells what learning them is worth. At the end
OUTPUT has ``cider-extractor.safetensors`` and its card.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from napari_deconv.networks.extractor import Extractor
from napari_deconv.networks.filter_bank import apply_filters, filter_bank
from napari_deconv.networks.generator import Generator, Plan
from napari_deconv.networks.weights import save_weights
from napari_deconv.operators.convolution import Convolution
from napari_deconv.training.refiner import decibels
from napari_deconv.training.samples import Samples
from napari_deconv.training.schooling import School, parser

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

_DECODER = Plan(norm=False)


def main(arguments: Sequence[str] | None = None) -> Mapping[str, float]:
    """Train for a while, and write the weights."""
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--filter-bank", action="store_true", help="train the decoder alone")
    given = made.parse_args(arguments)
    torch.manual_seed(given.seed)
    given.output.mkdir(parents=True, exist_ok=True)
    network = EndToEnd(learned=not given.filter_bank)
    kind = "filter-bank" if given.filter_bank else "extractor"
    school = School(network, given.output / f"{kind}.pt", given.rate)
    generator = np.random.default_rng([given.seed, school.steps])
    seen, apart = Samples(given.natural), Samples(given.natural, scored=True)

    def one(samples: Samples, number: int) -> tuple[Tensor, Tensor]:
        sample = samples[number]
        level = max(float(sample.image.mean()) - sample.background, 1e-6)
        data = torch.from_numpy(((sample.image - sample.background) / level).astype(np.float32))
        image: Tensor = network(
            data, Convolution(sample.psf, data.shape), (sample.noise / level) ** 2
        )
        return image, torch.from_numpy(sample.truth / np.float32(level))

    def loss() -> Tensor:
        total: Tensor = torch.zeros(())
        for number in generator.integers(given.samples, size=given.batch):
            image, truth = one(seen, int(number))
            spread = (truth - truth.mean()).square().mean() + 1e-3
            total = total + ((image - truth).square().mean() / spread).clamp(max=10)
        mean: Tensor = total / given.batch
        return mean

    def score() -> Mapping[str, float]:
        signal = []
        for number in range(given.scored):
            image, truth = one(apart, number)
            signal.append(float(decibels(image.clamp(min=0)[None], truth[None])))
        return {"mean signal to noise in dB": float(np.mean(signal))}

    scores = school.teach(given.minutes, loss, score)
    print(kind, dict(scores))
    if network.extractor is not None:
        card = {
            "title": "CiDeR's feature extractor",
            "network": "one convolution and three residual blocks, 5 x 5, 16 features",
            "training": (
                f"{school.steps} steps of {given.batch} images of 128 x 128, end to end through a "
                "Wiener filter and a decoder: Kodak photographs and synthetic microscopy, as drawn "
                "by napari_deconv.training.samples; python -m napari_deconv.training.extractor "
                f"NATURAL OUTPUT --minutes {given.minutes:g} --seed {given.seed}"
            ),
            "scores": {f"on {given.scored} images apart": dict(scores)},
            "licence": (
                "BSD-3-Clause; made by the napari-deconv developers from Kodak's freely usable "
                "photographs and generated images"
            ),
            "limits": "planes only, in units of their mean intensity",
        }
        prefix = "extractor."
        own = {
            name.removeprefix(prefix): value
            for name, value in school.mean.items()
            if name.startswith(prefix)
        }
        save_weights(given.output / "cider-extractor.safetensors", own, "extractor", {}, card)
    return scores


class EndToEnd(nn.Module):
    """Features, their deconvolution, and an image made of them.

    Parameters
    ----------
    learned
        Whether the features are learned, or those of the filter bank.
    """

    def __init__(self, *, learned: bool) -> None:
        super().__init__()
        self.extractor = Extractor() if learned else None
        self.decoder = Generator(_DECODER)

    def forward(self, data: Tensor, blur: Convolution, noise: float) -> Tensor:
        """Return the object of an image in units of its typical intensity.

        Parameters
        ----------
        data
            Image.
        blur
            Forward model, for its OTF.
        noise
            Variance of the noise, in those units.
        """
        if self.extractor is None:
            features = apply_filters(data, filter_bank(2))
        else:
            features = self.extractor(data[None, None])[0]
        deconvolved = wiener(features, blur, noise)
        image: Tensor = self.decoder(deconvolved[None])[0, 0]
        return image


def wiener(features: Tensor, blur: Convolution, noise: float) -> Tensor:
    """Return features deconvolved by ``conj(H) / (|H|^2 + n / s)``, with their own power s.

    In the margin of the operator's grid the features lead back to their beginning.
    """
    padded = torch.stack([blur.periodic(each) for each in features])
    power = (features.var((1, 2)) - noise).clamp(min=1e-3 * float(features.var()) + 1e-9)
    spectrum = torch.fft.rfft2(padded)
    otf = blur.otf
    weight = otf.real.square() + otf.imag.square() + (noise / power)[:, None, None]
    restored = torch.fft.irfft2(spectrum * otf.conj() / weight, s=padded.shape[1:])
    inside: Tensor = restored[:, : features.shape[1], : features.shape[2]]
    return inside


if __name__ == "__main__":
    main()
