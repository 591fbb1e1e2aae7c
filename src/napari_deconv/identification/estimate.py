"""All that one spectrum leaves possible: from the fit, from the network, and from before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_deconv.identification import fit as fitting
from napari_deconv.identification import mixture, prior, reading, sign, spectrum
from napari_deconv.identification.mixture import Mixture
from napari_deconv.identification.optics import pupils, turned

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_deconv.identification.fit import Fit
    from napari_deconv.identification.optics import Pupils
    from napari_deconv.identification.prior import SpectrumPrior
    from napari_deconv.identification.spectrum import Spectrum
    from napari_deconv.networks.sign_network import SignNetwork
    from napari_deconv.networks.spectrum_encoder import SpectrumEncoder

# The mixture whose mean PSF is given, its expected signal to noise, dB, and the confidence.
Answer = tuple[Mixture, float, float]
# Pixels of the PSFs that are fitted, at the trained cutoff.
SHAPE = (31, 31)
# Candidates whose way round is looked at, and the least weight of one that is.
_LOOKED_AT, SLIGHT = 6, 0.02
# Signal to noise, dB, that is as good as any: the weighing was taught no better one.
_CEILING = 30.0
# Two PSFs nearer than this (squared difference over the square) are one.
_SAME = 0.02


@dataclass(frozen=True)
class Estimates:
    """What there is to choose from.

    Attributes
    ----------
    fit, network, before
        What each leaves possible, either way round by its probability.
    found
        The fit's candidates.
    weights, flips
        Of the candidates, (m,): how probable each is, and how probably it is turned.
    facts
        What is known of the three, see ``networks.weighing``.
    """

    fit: Mixture
    network: Mixture
    before: Mixture
    found: Fit
    weights: Tensor
    flips: Tensor
    facts: Tensor

    def sources(self, model: Pupils) -> tuple[Mixture, Mixture, Mixture]:
        """Return whose mean PSFs are given shares: the fit's likeliest, the network, and before."""
        return self.fit.best(model), self.network, self.before

    def upright(self) -> Tensor:
        """Return the candidates, each the way round that is the more probable one, (m, mode)."""
        import torch

        coefficients = self.found.coefficients
        return torch.where(self.flips[:, None] > 0.5, turned(coefficients), coefficients)


def estimates(
    planes: Tensor,
    seen: Spectrum,
    amplitude: float,
    *,
    seed: int = 0,
    say: Callable[[float, str], None] = lambda share, doing: None,
    known: SpectrumPrior | None = None,
    encoder: SpectrumEncoder | None = None,
    signs: SignNetwork | None = None,
) -> Estimates:
    """Return estimates of the PSF behind planes (frames, y, x), given their spectrum.

    Prior and networks are those of the package by default.
    """
    import torch

    model = pupils(spectrum.CUTOFF, SHAPE)
    say(0.1, "fitting aberrations")
    known = known or prior.load()
    first = fitting.starts(fitting.starts_for(seen), seed, len(known.components))
    found = fitting.fit(fitting.Model(seen, known, model, amplitude), first, seed=seed)
    weights = torch.softmax(found.evidence, 0)
    say(0.6, "reading the spectrum")
    read = reading.read(seen, amplitude, encoder)
    say(0.7, "deciding which way round")
    flips = _flips(planes, model.psf(found.coefficients), weights, seen.noise, signs)
    mean = read.psf(model)
    whole = _flips(planes, mean[None], torch.ones(1), seen.noise, signs)
    count = found.samples.shape[1]
    fitted = Mixture(found.samples.flatten(0, 1), weights.repeat_interleave(count) / count).turned(
        flips.repeat_interleave(count)
    )
    network = read.turned(whole.expand(len(read.weights)))
    before = mixture.before_looking(amplitude)
    told = _facts(fitted, network, before, seen, amplitude)
    return Estimates(fitted, network, before, found, weights, flips, told)


def with_fit(made: Estimates, fit: Mixture, seen: Spectrum, amplitude: float) -> Estimates:
    """Return estimates with another mixture in place of the fit's."""
    facts = _facts(fit, made.network, made.before, seen, amplitude)
    return replace(made, fit=fit, facts=facts)


def _facts(
    fit: Mixture, network: Mixture, before: Mixture, seen: Spectrum, amplitude: float
) -> Tensor:
    from napari_deconv.networks.weighing import facts

    model = pupils(spectrum.CUTOFF, SHAPE)
    parts = (fit, network, before)
    by_fit, by_network, by_none = (part.psf(model) for part in parts)
    apart = float((by_fit - by_network).square().sum() / by_none.square().sum())
    first, second, third = (part.error(model) for part in parts)
    return facts(seen.noise, seen.windows, amplitude, (first, second, third), apart)


def answer(made: Estimates) -> Answer:
    """Return the mixture whose mean PSF to give, its expected signal to noise, dB, and confidence.

    What an image leaves possible is less sure than it seems where it is small or noisy: how much
    each source is worth, and how near they come together, was learned.
    """
    import torch

    model = pupils(spectrum.CUTOFF, SHAPE)
    with torch.no_grad():
        shares, reached = reading.weighing()(made.facts[None])
    chosen = mixture.together(list(zip(shares[0].tolist(), made.sources(model), strict=True)))
    expected = min(float(reached), _CEILING)
    return chosen, expected, confidence_of(expected, made.before)


def confidence_of(expected: float, before: Mixture) -> float:
    """Return how much less the error is, expected in dB, than that of the mean PSF, 0 to 1."""
    return max(0.0, 1 - 10 ** ((unknown(before) - expected) / 10))


def unknown(before: Mixture) -> float:
    """Return the expected signal to noise, dB, of the mean PSF."""
    model = pupils(spectrum.CUTOFF, SHAPE)
    return before.expected(before.psf(model), model)


def _flips(
    planes: Tensor, psfs: Tensor, weights: Tensor, noise: float, network: SignNetwork | None
) -> Tensor:
    """Return how probable it is that each PSF (m, y, x) is turned by 180 degrees, (m,)."""
    import torch

    flips = torch.full_like(weights, 0.5)
    judged: list[int] = []
    for i in torch.argsort(weights, descending=True).tolist():
        # What is the same as, or the mirror of, one already judged needs no more.
        known = _same(psfs[i], psfs[judged]) if judged else None
        if known is not None:
            at, mirrored = known
            flips[i] = 1 - flips[judged[at]] if mirrored else flips[judged[at]]
        elif len(judged) < _LOOKED_AT and (weights[i] > SLIGHT or not judged):
            odds = sum(sign.odds(plane.float(), psfs[i], noise, network) for plane in planes)
            flips[i] = torch.sigmoid(torch.tensor(-odds))
            judged.append(i)
    return flips


def _same(psf: Tensor, others: Tensor) -> tuple[int, bool] | None:
    """Return which of the others a PSF is the same as, and whether it is so only when turned."""
    import torch

    pairs = torch.stack([others, others.flip(-2, -1)])
    errors = (pairs - psf).square().sum((-2, -1)).flatten() / psf.square().sum()
    least = int(errors.argmin())
    if float(errors[least]) > _SAME:
        return None
    return least % len(others), least >= len(others)
