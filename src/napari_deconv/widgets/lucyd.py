"""The LUCYD dock: a trained network that restores in one pass, without a PSF."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_deconv.widgets.deconvolution import DeconvolutionWidget

if TYPE_CHECKING:
    import napari


class LucydWidget(DeconvolutionWidget):
    """Restore an image layer by LUCYD.

    Parameters
    ----------
    napari_viewer
        The viewer; napari fills it in.
    """

    NAME: ClassVar[str] = "lucyd"
    ONLY: ClassVar[str | None] = "lucyd"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.compare.hide()
        self.psf_row.hide()
