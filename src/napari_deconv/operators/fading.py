"""Windows under which an image fades towards where it is cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def fades(blur: Convolution, shape: Sequence[int], share: float) -> list[Tensor]:
    """Return one window for each axis along which an image ends.

    What is cut off at a border is seen at all frequencies, and would be taken for fine structures.

    Parameters
    ----------
    blur
        The image's forward model; at a circular border that is within the view nothing ends.
    shape
        Of the image, or of the part of it that is looked at.
    share
        Of the length that fades, half of it at each end.
    """
    import torch
    from scipy.signal.windows import tukey

    windows = []
    for axis, (border, whole, length) in enumerate(
        zip(blur.borders, blur.data_shape, shape, strict=True)
    ):
        if border == "circular" and length == whole:
            continue
        # Without the zeros at the very ends, so that one plane is not lost.
        window = torch.from_numpy(tukey(length + 2, share)[1:-1].astype(np.float32))
        along = [-1 if i == axis else 1 for i in range(len(shape))]
        windows.append(window.to(blur.device).reshape(along))
    return windows
