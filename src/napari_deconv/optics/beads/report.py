"""What beads tell about a microscope: a table, a few sentences, a map over the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_deconv.optics.beads.measure import without_diameter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deconv.optics.beads.find import Bead

Quantity = Literal[
    "fwhm_z", "fwhm_y", "fwhm_x", "lateral_asymmetry", "axial_asymmetry", "z", "peak", "snr"
]


@dataclass(frozen=True, kw_only=True)
class BeadReport:
    """What was measured on beads and on their average.

    Attributes
    ----------
    beads
        All that were found.
    spacing
        Voxel size, um.
    bead_diameter
        Diameter of the beads, um.
    fwhm
        Full widths at half maximum of the averaged PSF along the image's axes, um.
    fwhm_of_mean
        Those of the mean bead, before its diameter is undone.
    theory
        Those that the microscope should have, or None where it was not given.
    lateral_asymmetry, axial_asymmetry
        Of the averaged PSF, see :class:`Bead`.
    snr
        Height of the mean bead over its noise.
    """

    beads: tuple[Bead, ...]
    spacing: tuple[float, ...]
    bead_diameter: float
    fwhm: tuple[float, ...]
    fwhm_of_mean: tuple[float, ...]
    theory: tuple[float, ...] | None
    lateral_asymmetry: float
    axial_asymmetry: float
    snr: float

    @property
    def ratio(self) -> tuple[float, ...] | None:
        """FWHM over theory, on each axis."""
        if self.theory is None:
            return None
        return tuple(f / t for f, t in zip(self.fwhm, self.theory, strict=True))

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for every bead: what was measured, and why it was not used if it was not."""
        return [
            row_of(number, bead, self.spacing, self.bead_diameter)
            for number, bead in enumerate(self.beads, 1)
        ]

    def sentences(self) -> list[str]:
        """Return what a person should know."""
        names = "zyx"[-len(self.fwhm) :]
        used = sum(b.accepted for b in self.beads)
        lines = [f"{used} of {len(self.beads)} beads were averaged."]
        each = ", ".join(f"{n} {1000 * w:.0f} nm" for n, w in zip(names, self.fwhm, strict=True))
        lines.append(f"Full width at half maximum: {each}.")
        if self.ratio is not None:
            worst = int(np.argmax(self.ratio))
            lines.append(
                f"That is {', '.join(f'{r:.2f}' for r in self.ratio)} times theory along "
                f"{', '.join(names)}."
            )
            if self.ratio[worst] > 1.3:
                lines.append(
                    f"The PSF is {self.ratio[worst]:.1f} times as wide along {names[worst]} as it "
                    "could be: check the correction collar, the immersion, the coverslip's "
                    "thickness and the beads' diameter."
                )
        if self.lateral_asymmetry > 1.2:
            lines.append(
                f"It is {self.lateral_asymmetry:.2f} times as long as wide: astigmatism, coma or a "
                "tilted sample."
            )
        if abs(self.axial_asymmetry) > 0.2:
            side = "higher" if self.axial_asymmetry > 0 else "lower"
            lines.append(
                f"More of its light lies at {side} z ({abs(self.axial_asymmetry):.0%}): spherical "
                "aberration, as from a mismatch of indices or a wrong collar."
            )
        return lines

    def save(self, path: str | Path) -> None:
        """Write the rows as comma-separated values."""
        import csv

        rows = self.rows()
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def row_of(
    number: int, bead: Bead, spacing: Sequence[float], diameter: float = 0.0
) -> dict[str, Any]:
    """Return a bead's row of the table; lengths in um, FWHM also without the bead's diameter."""
    names = "zyx"[-len(bead.position) :]
    corrected = without_diameter(bead.fwhm, diameter)
    row: dict[str, Any] = {"bead": number, "used": bead.accepted}
    row |= {
        f"{n}_um": round(p * s, 4) for n, p, s in zip(names, bead.position, spacing, strict=True)
    }
    row |= {f"fwhm_{n}_um": round(w, 4) for n, w in zip(names, bead.fwhm, strict=True)}
    row |= {f"fwhm_{n}_corrected_um": round(w, 4) for n, w in zip(names, corrected, strict=True)}
    row |= {
        "lateral_asymmetry": round(bead.lateral_asymmetry, 3),
        "axial_asymmetry": round(bead.axial_asymmetry, 3),
        "peak": round(bead.peak, 2),
        "background": round(bead.floor, 2),
        "snr": round(bead.snr, 1),
        "reason": bead.reason,
    }
    return row


def field_map(
    beads: Sequence[Bead],
    shape: Sequence[int],
    quantity: Quantity,
    bins: tuple[int, int] = (4, 4),
) -> NDArray[np.float64]:
    """Return the median of a measured quantity in each part of the field of view.

    Parameters
    ----------
    beads
        As found; only those accepted count.
    shape
        Of the image.
    quantity
        FWHM along an axis (um), an asymmetry, the place in z (voxels), the height, the SNR.
    bins
        Numbers of parts along Y and X.

    Returns
    -------
    array (y, x)
        NaN where there is no bead.
    """
    result = np.full(bins, np.nan)
    values: dict[tuple[int, ...], list[float]] = {}
    for bead in beads:
        if not bead.accepted:
            continue
        place = tuple(
            min(int(p * b / n), b - 1)
            for p, n, b in zip(bead.position[-2:], shape[-2:], bins, strict=True)
        )
        values.setdefault(place, []).append(_value(bead, quantity))
    for place, found in values.items():
        result[place] = np.median(found)
    return result


def _value(bead: Bead, quantity: Quantity) -> float:
    names = "zyx"[-len(bead.position) :]
    if quantity.startswith("fwhm_"):
        name = quantity[-1]
        return bead.fwhm[names.index(name)] if name in names else float("nan")
    if quantity == "z":
        return bead.position[0] if len(names) == 3 else float("nan")
    return float(getattr(bead, quantity))
