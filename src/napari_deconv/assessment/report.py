"""All figures of a restoration at once."""

from __future__ import annotations

import math
from collections.abc import Sequence  # noqa: TC003  (the registry reads the annotations)
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray  # noqa: TC002

from napari_deconv.arrays import as_image
from napari_deconv.assessment import residual, similarity
from napari_deconv.assessment.noise import estimate_noise
from napari_deconv.assessment.resolution import fwhm
from napari_deconv.errors import InputError, ParameterError


@dataclass(frozen=True)
class Assessment:
    """Figures of an image; None where what they need was not given.

    Attributes
    ----------
    minimum, maximum, mean
        Intensities of the image.
    fwhm
        Full width at half maximum of a bright spot per axis, in micrometres where a spacing was
        given, else in voxels (:func:`~napari_deconv.assessment.resolution.fwhm`).
    psnr
        ``20 log10(max(reference) / rmse)``, in dB.
    snr
        ``20 log10(rms(reference) / rmse)``, in dB.
    scale_invariant_snr
        ``20 log10(|reference| / |reference - a image|)`` with the best factor ``a``, in dB.
    nrmse
        Root mean square error over the reference's root mean square.
    ssim
        Mean structural similarity (Wang et al. 2004), range ``max - min`` of the reference.
    correlation
        Pearson's correlation coefficient with the reference.
    flux_ratio
        Sum of the image over that of the data less their background, or, without data, over that
        of the reference.
    chi_squared
        Mean squared residual of the blurred image against the data over the noise variance;
        1 where the data are explained down to their noise.
    residual_correlation
        Root mean square correlation of neighbouring residuals; near 0 where they are noise.
    """

    minimum: float
    maximum: float
    mean: float
    fwhm: tuple[float, ...] | None = None
    psnr: float | None = None
    snr: float | None = None
    scale_invariant_snr: float | None = None
    nrmse: float | None = None
    ssim: float | None = None
    correlation: float | None = None
    flux_ratio: float | None = None
    chi_squared: float | None = None
    residual_correlation: float | None = None
    length_unit: str = "voxel"

    def as_dict(self) -> dict[str, Any]:
        """Return the figures that are known, by name, as plain numbers, for JSON or a table.

        What cannot be told as a finite number (the PSNR of an exact copy, say) is None.
        """
        return {name: _plain(value) for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        """Return the figures as lines of a table."""
        rows: list[tuple[str, str]] = [
            ("intensity", f"{self.minimum:.4g} to {self.maximum:.4g}, mean {self.mean:.4g}")
        ]
        if self.fwhm is not None:
            widths = " x ".join(f"{width:.3g}" for width in self.fwhm)
            rows.append(("FWHM", f"{widths} {self.length_unit}"))
        for name, title, unit in _ROWS:
            value = getattr(self, name)
            if value is not None:
                rows.append((title, f"{value:.4g}{unit}"))
        return "\n".join(f"{title:<22}{value}" for title, value in rows)


_ROWS = (
    ("psnr", "PSNR", " dB"),
    ("snr", "SNR", " dB"),
    ("scale_invariant_snr", "scale-invariant SNR", " dB"),
    ("nrmse", "NRMSE", ""),
    ("ssim", "SSIM", ""),
    ("correlation", "correlation", ""),
    ("flux_ratio", "flux ratio", ""),
    ("chi_squared", "chi-squared per voxel", ""),
    ("residual_correlation", "residual correlation", ""),
)


def assess(
    image: ArrayLike,
    reference: ArrayLike | None = None,
    *,
    psf: ArrayLike | None = None,
    data: ArrayLike | None = None,
    background: ArrayLike = 0.0,
    spacing: Sequence[float] | None = None,
    spot: Sequence[float] | None = None,
) -> Assessment:
    """Assess an image: against the truth where it is known, against the data where they are.

    Every figure is defined in :class:`Assessment`. Nothing is fitted or registered, but for the
    one factor in ``scale_invariant_snr``; :mod:`napari_deconv.assessment.registration` helps where
    a shift is a convention.

    Parameters
    ----------
    image
        The image to assess, axes ``..., (Z,) Y, X``.
    reference
        The truth, of the same shape and in the same units.
    psf
        With ``data``: the point spread function, origin at index n//2, to compare the image with
        the data it was made from. Voxels nearer to an edge than half the PSF (but no more than a
        quarter of the image) do not count there, since light from beyond the edge reaches them.
    data
        The image that was measured, of the same shape.
    background
        What the data hold beside the blurred image, offset included: a number or an array.
    spacing
        Voxel size per axis in micrometres, for the widths.
    spot
        Position of a spot, in voxels, whose widths are measured; the brightest voxel where not
        given. Widths are measured in planes and stacks, not in series.

    Returns
    -------
    Assessment
        Print it for a table; ``as_dict()`` gives plain numbers.

    Raises
    ------
    InputError
        When shapes do not fit or an image is not usable.
    ParameterError
        When ``psf`` is given without ``data``, or ``spacing`` or ``spot`` do not fit the image.
    """
    x = as_image(image)
    if psf is not None and data is None:
        raise ParameterError("psf is given without data; give the data that it has blurred too.")
    figures: dict[str, Any] = {
        "minimum": float(x.min()),
        "maximum": float(x.max()),
        "mean": float(x.mean(dtype=np.float64)),
    }
    if x.ndim <= 3:
        figures["fwhm"] = fwhm(x, spot, spacing=spacing)
        figures["length_unit"] = "voxel" if spacing is None else "um"
    elif spot is not None or spacing is not None:
        raise ParameterError(
            f"Widths are measured in a plane or a stack, but the image has {x.ndim} axes; "
            "leave spacing and spot out, or give one stack of it."
        )
    if reference is not None:
        truth = as_image(reference, "reference")
        for name in ("psnr", "snr", "scale_invariant_snr", "nrmse", "ssim", "correlation"):
            figures[name] = getattr(similarity, name)(x, truth)
        figures["flux_ratio"] = _ratio(x, truth)
    if data is not None:
        measured = as_image(data, "data")
        if measured.shape != x.shape:
            raise InputError(
                f"The image has shape {x.shape} and the data {measured.shape}; "
                "they have to be equal."
            )
        beside = np.broadcast_to(np.asarray(background, np.float64), x.shape)
        figures["flux_ratio"] = _ratio(x, measured - beside)
        if psf is not None:
            figures.update(_misfit(x, as_image(psf, "PSF"), measured, beside))
    return Assessment(**figures)


def _misfit(
    x: NDArray[np.float32],
    psf: NDArray[np.float32],
    data: NDArray[np.float32],
    background: NDArray[np.float64],
) -> dict[str, float]:
    from napari_deconv.simulation.imaging import convolve

    prediction = convolve(x, psf, borders="reflect") + background
    spatial = x.shape[x.ndim - psf.ndim :]
    margins = [min(m // 2, n // 4) for n, m in zip(spatial, psf.shape, strict=True)]
    inside: tuple[Any, ...] = (
        ...,
        *(slice(margin, n - margin) for n, margin in zip(spatial, margins, strict=True)),
    )
    noise = estimate_noise(data)
    seen, expected = data[inside], prediction[inside]
    return {
        "chi_squared": residual.chi_squared(seen, expected, noise),
        "residual_correlation": residual.residual_correlation(seen, expected, noise),
    }


def _ratio(image: NDArray[Any], other: NDArray[Any]) -> float:
    total = float(other.sum(dtype=np.float64))
    return float(image.sum(dtype=np.float64)) / total if total else float("nan")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
