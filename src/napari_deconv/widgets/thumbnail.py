"""Pictures of planes for a contact sheet, all in the same contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtGui import QImage, QPixmap

from napari_deconv.widgets.layers import contrast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Limits = tuple[float, float]


def common_limits(planes: Iterable[NDArray[Any]]) -> Limits | None:
    """Return contrast limits for several planes, which one that went wrong does not decide."""
    each = [limits for plane in planes if (limits := contrast(plane)) is not None]
    if not each:
        return None
    low, high = np.median(np.array(each), axis=0)
    return (float(low), float(high)) if high > low else None


def picture(
    plane: NDArray[Any], limits: Limits | None, colormap: Any, gamma: float = 1.0
) -> QPixmap:
    """Return a plane in a layer's colours, black where there is no number.

    Parameters
    ----------
    plane
        Axes Y, X.
    limits
        Intensities that become the colormap's ends.
    colormap
        Has ``map``, as those of napari's layers.
    gamma
        Exponent of the intensity between them.
    """
    low, high = limits or (0.0, 1.0)
    values = np.clip((np.nan_to_num(plane.astype(np.float32)) - low) / (high - low), 0, 1) ** gamma
    # A table of 256 colours is far quicker than to ask for the colour of each pixel.
    table = np.asarray(colormap.map(np.linspace(0, 1, 256)))[:, :3]
    pixels = (255 * table + 0.5).astype(np.uint8)[(255 * values + 0.5).astype(np.uint8)]
    pixels[np.isnan(plane)] = 0
    height, width = plane.shape
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())  # the bytes do not outlive this function
