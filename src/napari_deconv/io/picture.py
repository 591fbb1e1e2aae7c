"""Grey PNG and JPEG pictures, for photographs and kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.errors import FileError
from napari_deconv.io.image_file import ImageFile

if TYPE_CHECKING:
    from pathlib import Path


def read_picture(path: Path) -> ImageFile:
    """Read a grey picture; it has no voxel size.

    Raises
    ------
    FileError
        When it is in colour or damaged.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            if picture.mode not in ("1", "L", "I", "I;16", "I;16B", "F"):
                raise FileError(f"{path} is a colour picture. Convert it to grey levels first.")
            data = np.asarray(picture)
    except UnidentifiedImageError as error:
        raise FileError(f"{path} is not a picture, or is damaged.") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} is damaged or truncated: {error}.") from error
    return ImageFile(path, data, "YX")
