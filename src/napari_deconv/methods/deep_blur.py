"""deep-blur: a few steps of Douglas-Rachford splitting with trained networks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.errors import FileError, ParameterError
from napari_deconv.methods._precision import fastest
from napari_deconv.operators.inverse import inverse_of
from napari_deconv.operators.white_noise import seen
from napari_deconv.registry import (
    Advanced,
    Auto,
    FoundPsf,
    Planes,
    Range,
    Unit,
    WeightsOf,
    method,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from napari_deconv.identification import FieldIdentification, Identification
    from napari_deconv.networks.douglas_rachford import DouglasRachford, Inverse
    from napari_deconv.operators.convolution import Convolution

# How far beyond a tile is looked, in voxels: the networks' own reach is larger, but what is beyond
# this changes nothing that could be seen. A tile has to begin where their coarsest scale has a
# place.
REACH, GRID = 64, 8
# Pixels over whose mean the light is taken that makes the noise of photons.
_AROUND = 5
# Shares of the pixels that are darkest and brightest and count no more than the next ones when an
# image is measured.
_OUTLIERS = 1e-4
# Of a frequency's power, what a blur has to let pass so that it is counted. And the least that an
# object varies, as a share of what its image does, noise and all.
_PASSED, _LEAST = 0.02, 0.1
# What the PSF is taken to be wrong by where nobody knows.
_ERROR = 0.01
# Of the error that is expected of a PSF that was found, what is told: it errs most where the image
# shows least, and so harms less than as large an error of any kind.
FELT = 0.5
# Float32 maps that are held at once, by the networks' precision; measured.
_MAPS = {"bfloat16": 60.0, "float32": 105.0, "auto": 105.0}
# Seconds to find a PSF and, for each pixel, to look again; and to find a field of PSFs: at least,
# and for the number of windows it is looked at through, to a power. Measured.
_FINDING, _AGAIN = 0.8, 1.8e-4
_FIELD, _WINDOW, _GROWTH = 2.0, 0.085, 1.5


def _level(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    del blur, parameters
    return float(_without_outliers(data).mean())


def _scale(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    """Return about the standard deviation of the object, as the training had it.

    That is of what the image's frequencies hold beyond the noise, over what the blur lets pass of
    them; those of which it lets nearly nothing pass count as if it let more.
    """
    calm = _without_outliers(data)
    middle = float(calm.mean())
    light = max(middle - float(parameters["offset"]), 0.0)
    variance = float(parameters["gain"]) * light + float(parameters["read_noise"]) ** 2
    passed = (blur.otf.real.square() + blur.otf.imag.square()).clamp_(min=_PASSED)
    excess = seen(calm, blur).sub_(variance * math.prod(blur.grid))
    excess = excess.div_(passed).mul_(passed > _PASSED)
    # Half a spectrum shows every frequency once, but for its first and last column.
    total = 2 * float(excess.sum()) - float(excess[..., 0].sum() + excess[..., -1].sum())
    found = math.sqrt(max(total, 0.0)) / math.prod(blur.grid)
    return max(found, _LEAST * float(calm.std()), 1e-6 * float(data.abs().max()), 1e-30)


def _without_outliers(data: Tensor) -> Tensor:
    import numpy as np
    import torch

    low, high = np.quantile(data.cpu().numpy(), [_OUTLIERS, 1 - _OUTLIERS])
    return torch.clamp(data, float(low), float(high))


def _steps(parameters: Mapping[str, Any]) -> int:
    from napari_deconv.networks.douglas_rachford import Unrolled

    return Unrolled.of(_loaded(parameters["weights"]).settings).steps


def _find_psf(planes: Planes, parameters: Mapping[str, Any]) -> FoundPsf:
    from napari_deconv.identification import identify, identify_field, identify_stack
    from napari_deconv.identification.result import UNKNOWN

    images, focus = planes.images, planes.focus
    optics = {n: parameters[n] for n in ("numerical_aperture", "emission_wavelength")}
    told: dict[str, Any] = {**optics, "amplitude": parameters["amplitude"]}
    told["spacing"] = planes.spacing
    found: Identification | FieldIdentification
    if parameters["psf_varies"]:
        if parameters["refine"]:
            raise ParameterError(
                "Only one PSF for the whole image can be refined: choose refine or psf_varies."
            )
        found = identify_field(images[focus or 0], **told)
    elif focus is not None and None not in optics.values():
        found = identify_stack(images, **told, plane=focus, refine=parameters["refine"])
    else:
        frames = images if focus is None else images[focus]
        found = identify(frames, **told, refine=parameters["refine"])
    return FoundPsf(
        found.psf,
        FELT * 10 ** (-found.expected_snr / 20),
        found.verdict,
        found.confidence >= UNKNOWN,
        found.record(),
    )


def _finding(parameters: Mapping[str, Any], pixels: int) -> float:
    from napari_deconv.identification.field import windows

    if parameters["psf_varies"]:
        count = len(windows((math.isqrt(pixels),) * 2))
        return _FIELD + _WINDOW * math.pow(count, _GROWTH)
    return _FINDING + _AGAIN * pixels * bool(parameters["refine"])


@method(
    "deep-blur",
    title="deep-blur",
    group="learned",
    needs_psf=False,
    cites=[
        "Debarnot and Weiss 2024, doi:10.1017/S2633903X24000096",
        "Zhang et al. 2022, doi:10.1109/TPAMI.2021.3088914",
    ],
    margin=REACH,
    rim=REACH,
    grid=GRID,
    arrays=lambda parameters: (10.0, _MAPS[parameters["precision"]]),
    schedule=_steps,
    finds_psf=_find_psf,
    finding=_finding,
)
def deep_blur(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 100)] = 4,
    weights: Annotated[str, WeightsOf("deep-blur"), Advanced()] = "small",
    strength: Annotated[float, Range(0.1, 10.0, logarithmic=True)] = 1.0,
    numerical_aperture: Annotated[float | None, Range(0.01, 2.0)] = None,
    emission_wavelength: Annotated[float | None, Range(0.1, 20.0), Unit("um")] = None,
    amplitude: Annotated[float, Range(1e-3, 0.2), Unit("waves"), Advanced()] = 0.15,
    psf_varies: bool = False,
    refine: Annotated[bool, Advanced()] = False,
    positive: Annotated[bool, Advanced()] = True,
    level: Annotated[float | Literal["auto"], Unit("counts"), Advanced(), Auto(_level)] = "auto",
    scale: Annotated[
        float | Literal["auto"], Range(1e-30), Unit("counts"), Advanced(), Auto(_scale)
    ] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], Advanced(), Auto(fastest)
    ] = "auto",
    offset: Annotated[float, Unit("counts"), Advanced()] = 0.0,
    gain: Annotated[float, Range(1e-30), Unit("counts per photon"), Advanced()] = 1.0,
    read_noise: Annotated[float, Range(0), Unit("counts"), Advanced()] = 0.0,
    psf_error: Annotated[float, Range(0, 0.5), Advanced()] = _ERROR,
) -> Iterator[Tensor]:
    r"""For images without a PSF, or with one that is not quite right: found, then undone.

    .. math::
        u = \arg\min_u |Hu - y|^2 + \lambda_k |u - z|^2, \qquad
        x = N_k(2u - z), \qquad z \leftarrow z + \beta_k (x - u)

    Four steps of Douglas-Rachford splitting, whose proximal operators N are networks, trained on
    photographs and synthetic microscopy. They are told how noisy each place is, and how far the PSF
    may be wrong. Without a PSF it is first found in the image: the aberrations of a pupil that
    explain the image's spectrum. Stacks without a PSF are restored plane by plane, with one PSF for
    all of them; with a PSF of three axes, the networks see plane after plane.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        How many steps to take; automatic takes all that the weights have, fewer are quicker.
    weights
        Weights that come with the package, or the path of a safetensors file made by
        ``napari-deconv train deep-blur``.
    strength
        How noisy the image is taken to be, in units of what it is: more is smoother.
    numerical_aperture
        Of the objective: to find the PSF, together with wavelength and pixel size.
    emission_wavelength
        In vacuum: to find the PSF.
    amplitude
        Largest aberration to expect where the PSF is found, each coefficient in waves rms.
    psf_varies
        Let the PSF change over the field where it is found: for images of 256 pixels and more with
        much fine structure and little noise; a quarter of a minute, or half of one on large images.
    refine
        Look again where the PSF is found, by restorations that have to foretell data held back:
        a better PSF from images of 256 pixels and more, on average, not always; 10 s to a minute.
    positive
        Keep negative values out of the result.
    level
        Intensity that the networks see as zero; automatic takes the mean.
    scale
        Intensity that they see as one; automatic takes about the object's standard deviation.
    precision
        Of the networks' convolutions: bfloat16 is several times faster where the processor knows
        it. Automatic takes it there.
    offset
        Intensity at which photons make no noise.
    gain
        Counts of the image for each photon.
    read_noise
        Standard deviation of the noise without light.
    psf_error
        Norm of what may be wrong with the PSF, relative to its own: the networks trust a doubtful
        one less.
    """
    # Used before, to find the PSF:
    del numerical_aperture, emission_wavelength, amplitude, psf_varies, refine
    import torch

    network = _network(weights, data.ndim).to(data.device)
    if iterations > network.plan.steps:
        raise ParameterError(
            f"The weights {weights!r} take {network.plan.steps} steps: ask for as many or fewer."
        )
    half = precision == "bfloat16"
    if half and network.plan.prior.ndim == 2:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ones = torch.ones(blur.object_shape, dtype=data.dtype, device=data.device)
    flat = blur(ones)
    inverse = inverse_of((data - float(level) * flat) / float(scale), blur)
    planes = _Planes(data.ndim, network.plan.prior.ndim)
    noise = planes.apart(noise_map(data[None, None], gain, read_noise, offset)[0, 0])
    noise = noise * (float(strength) / float(scale))
    error = noise.new_full((1,) * noise.ndim, float(strength) * float(psf_error))
    inside = tuple(slice(n) for n in planes.apart(data).shape)
    steps = network(
        planes.inverse(inverse),
        planes.apart(torch.zeros_like(ones)),
        noise,
        error.expand(len(noise), *error.shape[1:]),
        inside,
    )
    for _ in range(iterations):
        # Neither mode may last while the step is looked at.
        with torch.no_grad(), torch.autocast(data.device.type, torch.bfloat16, enabled=half):
            x = planes.together(next(steps)).float()
        x = x.mul_(float(scale)).add_(float(level))
        yield _with_light(x, data, blur, flat, positive=positive)


def noise_map(data: Tensor, gain: Any, read_noise: Any, offset: float = 0.0) -> Tensor:
    """Return the standard deviation of the noise at each place of images (n, 1, [z,] y, x).

    ``gain * (mean - offset) + read_noise**2``, with the mean over a few pixels.
    """
    from torch.nn import functional

    pool = functional.avg_pool2d if data.ndim == 4 else functional.avg_pool3d
    side = [min(_AROUND, n - 1 + n % 2) for n in data.shape[2:]]
    margin = [n // 2 for n in side]
    light = pool(data - offset, side, 1, margin, count_include_pad=False)
    deviation: Tensor = (gain * light.clamp(min=0) + read_noise**2).sqrt()
    return deviation


class _Planes:
    """Turns an object into what networks take, (n, 1, [z,] y, x), and back.

    Networks for planes see a stack as many of them.
    """

    def __init__(self, ndim: int, seen: int) -> None:
        self.ndim, self._batched = seen, ndim > seen

    def apart(self, x: Tensor) -> Tensor:
        return x[:, None] if self._batched else x[None, None]

    def together(self, x: Tensor) -> Tensor:
        return x[:, 0] if self._batched else x[0, 0]

    def inverse(self, inverse: Inverse) -> Inverse:
        """Return the same on what networks take; all planes have one weight."""
        return lambda z, weight: self.apart(inverse(self.together(z), float(weight.mean())))


def _with_light(
    x: Tensor, data: Tensor, blur: Convolution, flat: Tensor, *, positive: bool
) -> Tensor:
    """Return an object with as much light as the image has."""
    missing = float((data - blur(x, borrow=True)).mean() / flat.mean())
    x = x.add_(missing)
    if not positive:
        return x
    wanted = float(blur.crop(x).sum())
    x = x.clamp_(min=0)
    found = float(blur.crop(x).sum())
    return x.mul_(wanted / found) if wanted > 0 and found > 0 else x


def _loaded(weights: str) -> Any:
    from napari_deconv.networks.weights import load_weights

    return load_weights(weights, "deep-blur")


def _network(weights: str, ndim: int) -> DouglasRachford:
    """Return a network that is ready to restore images of so many axes."""
    from napari_deconv.networks.douglas_rachford import DouglasRachford

    loaded = _loaded(weights)
    problem = FileError(f"The weights {weights!r} are not those of this network: train them anew.")
    try:
        network = DouglasRachford.of(loaded)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise problem from error
    if network.plan.prior.ndim > ndim:
        raise ParameterError(f"The weights {weights!r} are for stacks; choose others.")
    return network
