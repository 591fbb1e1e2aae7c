"""The PSF of a pupil as a function that can be derived by all it depends on (torch).

The field is a sum over the points of a ``PupilGrid``, taken by two products with matrices: they
go from the pupil's points straight to the pixels, and cost half of what Fourier transforms of a
padded pupil do (7200 against 4000 gradients per second of 64 x 64 pixels on one core).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_deconv.errors import ParameterError
from napari_deconv.optics import zernike
from napari_deconv.optics.optical_path import layers
from napari_deconv.optics.pupil_grid import Apodisation, PupilGrid, field_width

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from napari_deconv.optics.microscope import Microscope

MARGIN = 4  # pixels around those wanted, for the mean over pixels to come from
EXTRA = 2  # planes before and after those wanted, for the mean over a bead


class PupilModel:
    """PSFs of one microscope for any aberration, differentiable and many at once.

    Parameters
    ----------
    microscope
        NA, indices, depth and the coverslip.
    shape
        Numbers of voxels (z, y, x), or (y, x) for one plane.
    spacing
        Their size, um, in the same order.
    wavelength
        In vacuum, um; the microscope's emission wavelength when left out.
    z
        Stage positions of the planes, um; by default ``spacing`` apart with 0 at ``n // 2``.
    indices
        Noll indices of the phase's coefficients.
    amplitude_indices
        Noll indices of the coefficients of the amplitude's logarithm.
    pixel_integration
        Take the mean over each pixel's area rather than the value at its middle.
    bead_diameter
        Of a bead whose image this is, um; 0 for a point.
    evanescent, apodisation
        As for the PSF model ``pupil``.
    padding
        How much wider the field is than ``field_width`` has it.
    device, dtype
        Of the tensors; float32 is good to 1e-6 of the peak, as phases are prepared in float64.

    Attributes
    ----------
    grid
        The pupil's points.
    basis
        Tensor (index, points): the phase's polynomials there.
    """

    def __init__(
        self,
        microscope: Microscope,
        shape: Sequence[int],
        spacing: Sequence[float],
        *,
        wavelength: float | None = None,
        z: ArrayLike | None = None,
        indices: Iterable[int] = range(4, 16),
        amplitude_indices: Iterable[int] = (),
        pixel_integration: bool = True,
        bead_diameter: float = 0.0,
        evanescent: bool = True,
        apodisation: Apodisation = "uniform",
        padding: float = 1.0,
        device: str = "cpu",
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None:
        import torch

        if len(shape) not in (2, 3) or len(spacing) != len(shape):
            raise ParameterError(
                f"shape is {tuple(shape)} and spacing {tuple(spacing)}, but both have to be "
                "(z, y, x) or (y, x)."
            )
        self.microscope = microscope
        self.wavelength = wavelength or microscope.emission_wavelength
        self.shape, self.spacing = tuple(shape), tuple(float(each) for each in spacing)
        self.indices, self.amplitude_indices = tuple(indices), tuple(amplitude_indices)
        planes = shape[0] if len(shape) == 3 else 1
        between = spacing[0] * (np.arange(planes, dtype=np.float64) - planes // 2)
        self.z = between if z is None else np.asarray(z, np.float64).ravel()
        if self.z.size != planes:
            raise ParameterError(f"z has {self.z.size} positions for {planes} planes.")
        self._integrate = pixel_integration
        # Pixels fine enough for means over pixels and beads to be a filter, and more around.
        finest = microscope.emission_wavelength / (4 * microscope.numerical_aperture)
        filtered = pixel_integration or bead_diameter > 0
        self._fine = math.ceil(max(spacing[-2:]) / finest - 1e-9) if filtered else 1
        around = MARGIN + math.ceil(bead_diameter / (2 * min(spacing[-2:])))
        self._margin = around * self._fine if filtered else 0
        self._extra = 0
        if bead_diameter > 0:
            if planes == 1 or np.ptp(np.diff(self.z)) > 1e-6:
                raise ParameterError("A bead has an image in evenly spaced planes only.")
            self._extra = EXTRA + math.ceil(bead_diameter / (2 * abs(self.z[1] - self.z[0])))
            more = np.arange(-self._extra, planes + self._extra)
            self.z = self.z[0] + (self.z[1] - self.z[0]) * more
        places = [self._places(n, d) for n, d in zip(shape[-2:], spacing[-2:], strict=True)]
        reach = math.hypot(*(abs(each).max() for each in places))
        width = padding * field_width(microscope, self.z, reach)
        self.grid = PupilGrid(
            microscope, self.wavelength, width, evanescent=evanescent, apodisation=apodisation
        )
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._complex = torch.complex64 if dtype == "float32" else torch.complex128
        self._double: dict[str, Any] = {"dtype": torch.float64, "device": device}
        self.device = torch.device(device)
        points = (self.grid.y, self.grid.x)
        self.basis = self._real(zernike.basis(self.indices, *points))
        self.amplitude_basis = self._real(zernike.basis(self.amplitude_indices, *points))
        self.light = torch.as_tensor(
            self.grid.light(self.z) / self.grid.total, dtype=self._complex, device=device
        )
        self._s = torch.as_tensor(self.grid.s, **self._double)
        n = 2 * self.grid.half + 1
        self._index = torch.as_tensor(self.grid.rows * n + self.grid.columns, device=device)
        self._by_y, self._by_x = (self._matrix(each) for each in places)
        self._filter = self.filter(bead_diameter) if filtered else None

    def psf(
        self,
        coefficients: Tensor | ArrayLike,
        *,
        amplitude: Tensor | ArrayLike | None = None,
        depth: Tensor | float | None = None,
        sample_index: Tensor | float | None = None,
        immersion_index: Tensor | float | None = None,
        shift: Tensor | Sequence[float] = (0.0, 0.0, 0.0),
    ) -> Tensor:
        """Return PSFs with sum 1 and their origin at ``n // 2``.

        Parameters
        ----------
        coefficients
            Of ``indices``, waves rms: (index,), or (N, index) for N PSFs at once.
        amplitude
            Of ``amplitude_indices``: the amplitude is multiplied by ``exp(sum a_j Z_j)``. (index,)
            or (N, index).
        depth, sample_index, immersion_index
            In place of the microscope's own: um and refractive indices, a number or (N,). The
            objective's design stays what it is. Meant for fits around the microscope's: a change
            of focus by 1 um costs 1 % (relative L2), with twice the padding a quarter of that.
        shift
            How far the image is moved along z, y and x, um: (3,) or (N, 3).

        Returns
        -------
        Tensor (z, y, x) or (y, x), with N before for N PSFs
            With gradients to everything given as a tensor that asks for them.
        """
        image = self.intensity(
            coefficients,
            amplitude=amplitude,
            depth=depth,
            sample_index=sample_index,
            immersion_index=immersion_index,
            shift=shift,
        )
        axes = tuple(range(-len(self.shape), 0))
        return image / image.sum(axes, keepdim=True)

    def intensity(
        self,
        coefficients: Tensor | ArrayLike,
        *,
        amplitude: Tensor | ArrayLike | None = None,
        depth: Tensor | float | None = None,
        sample_index: Tensor | float | None = None,
        immersion_index: Tensor | float | None = None,
        shift: Tensor | Sequence[float] = (0.0, 0.0, 0.0),
    ) -> Tensor:
        """Return intensities in units of the unaberrated one in focus; see ``psf``."""
        import torch

        c = self._real(coefficients)
        if c.shape[-1:] != (len(self.indices),) or c.ndim > 2:
            raise ParameterError(
                f"coefficients have the shape {tuple(c.shape)}, but have to be "
                f"({len(self.indices)},) or (N, {len(self.indices)})."
            )
        phase = 2 * math.pi * (c @ self.basis)
        pupil = torch.polar(torch.ones_like(phase), phase)
        if amplitude is not None:
            pupil = pupil * torch.exp(self._real(amplitude) @ self.amplitude_basis)
        other = self._other_path(depth, sample_index, immersion_index, shift)
        # (N, z, points); without an N, and with z only where light depends on it otherwise.
        pupil = pupil[..., None, :] * self.light
        if other is not None:
            pupil = pupil * other
        image = self._image(pupil)
        if len(self.shape) == 2:
            image = image[..., 0, :, :]
        return image if c.ndim == 2 else image.reshape(image.shape[-len(self.shape) :])

    def field(self, pupil: Tensor) -> Tensor:
        """Return the field (..., y, x) at all pixels, margin included, of pupils (..., points)."""
        n, before = 2 * self.grid.half + 1, pupil.shape[:-1]
        flat = pupil.reshape(-1, pupil.shape[-1])
        square = flat.new_zeros(len(flat), n * n).index_copy(1, self._index, flat)
        rows = square.reshape(-1, n) @ self._by_x.T
        return (self._by_y @ rows.reshape(len(flat), n, -1)).reshape(*before, *self._pixels)

    @property
    def _pixels(self) -> tuple[int, int]:
        return self._by_y.shape[0], self._by_x.shape[0]

    def filter(self, bead_diameter: float) -> Tensor:
        """Return the spectrum (z or 1, y, x) of the mean over pixels and of a bead.

        A bead is a sphere that shines evenly: ``3 (sin(q) - q cos(q)) / q**3`` with
        ``q = pi bead_diameter f``.
        """
        rows, columns = self._pixels
        (dy, dx), fine = self.spacing[-2:], self._fine
        fy = np.fft.fftfreq(rows, dy / fine)[:, None]
        fx = np.fft.rfftfreq(columns, dx / fine)
        box = np.sinc(fy * dy) * np.sinc(fx * dx) if self._integrate else np.ones(1)
        if bead_diameter == 0:
            return self._real(np.broadcast_to(box, (1, rows, fx.size)).copy())
        fz = np.fft.fftfreq(self.z.size, abs(self.z[1] - self.z[0]))[:, None, None]
        q = np.maximum(math.pi * bead_diameter * np.sqrt(fz**2 + fy**2 + fx**2), 1e-2)
        return self._real(box * 3 * (np.sin(q) - q * np.cos(q)) / q**3)

    def filtered(self, image: Tensor, spectrum: Tensor | None = None) -> Tensor:
        """Return means over pixels, or of a bead, of an intensity (..., z, y, x) at all pixels.

        Pixels and planes of the margin are left out. ``spectrum`` takes the place of the
        model's own filter.
        """
        import torch

        spectrum = self._filter if spectrum is None else spectrum
        if spectrum is None:
            return image
        rows, columns = self._pixels
        axes = (-2, -1) if len(spectrum) == 1 else (-3, -2, -1)
        whole = torch.fft.rfftn(image, dim=axes) * spectrum
        size = (self.z.size, rows, columns)[-len(axes) :]
        means: Tensor = torch.fft.irfftn(whole, s=size, dim=axes)
        m, extra = self._margin, self._extra
        means = means[..., m : rows - m : self._fine, m : columns - m : self._fine]
        return means[..., extra : self.z.size - extra, :, :]

    def _image(self, pupil: Tensor) -> Tensor:
        field = self.field(pupil)
        return self.filtered(field.real.square() + field.imag.square())

    def _other_path(
        self, depth: Any, sample_index: Any, immersion_index: Any, shift: Any
    ) -> Tensor | None:
        """Return what other layers and a shift do to the pupil, (..., z, points); None: nothing."""
        import torch

        same = depth is None and sample_index is None and immersion_index is None
        still = not isinstance(shift, torch.Tensor) and not np.any(shift)
        if same and still:
            return None
        m, k = self.microscope, 2 * math.pi / self.wavelength
        own = (m.depth, m.sample_index, m.immersion_index)
        ours = [torch.as_tensor(each, **self._double)[..., None] for each in own]
        given = (depth, sample_index, immersion_index)
        theirs = [
            mine if each is None else torch.as_tensor(each, **self._double)[..., None]
            for each, mine in zip(given, ours, strict=True)
        ]
        by = torch.as_tensor(shift, **self._double)[..., None]
        z = torch.as_tensor(self.z, **self._double)
        axial = self._root(theirs[2]) - theirs[2]
        turned = by[..., 0, :] * axial.real
        across = (self.grid.x, self.grid.y)
        for move, u in zip((by[..., 2, :], by[..., 1, :]), across, strict=True):
            turned = turned + move * m.numerical_aperture * torch.as_tensor(u, **self._double)
        path = turned.to(torch.complex128)
        if not same:
            path = path + self._fixed(*theirs) - self._fixed(*ours)
        path = path[..., None, :]
        if immersion_index is not None:
            change = (axial - self._root(ours[2]) + ours[2])[..., None, :]
            path = path - z[:, None] * change
        return torch.exp(1j * k * path).to(self._complex)

    def _fixed(self, depth: Tensor, sample_index: Tensor, immersion_index: Tensor) -> Tensor:
        """Return the layers' path (..., points), um, less that of the axis."""
        import torch

        path = torch.zeros_like(self._s, dtype=torch.complex128)
        for thickness, index in layers(self.microscope, depth, sample_index, immersion_index):
            index = torch.as_tensor(index, **self._double)
            path = path + thickness * (self._root(index) - index)
        return path

    def _root(self, index: Tensor) -> Tensor:
        import torch

        square = index**2 - self._s**2
        # The root's slope has no end at 0, which a point may happen to hit.
        square = torch.where(square.abs() < 1e-12, square + 1e-12, square)
        return torch.sqrt(square.to(torch.complex128))

    def _places(self, count: int, pixel: float) -> NDArray[np.float64]:
        """Return the coordinates, um, of fine pixels and the margin's."""
        fine = np.arange(-self._margin, (count - 1) * self._fine + self._margin + 1)
        return pixel * (fine / self._fine - count // 2)

    def _matrix(self, places: NDArray[np.float64]) -> Tensor:
        import torch

        frequencies = np.arange(-self.grid.half, self.grid.half + 1) / self.grid.width
        waves = np.exp(-2j * math.pi * np.outer(places, frequencies))
        # Means over cells of the pupil have done this to the field.
        waves /= np.sinc(places / self.grid.width)[:, None]
        return torch.as_tensor(waves, dtype=self._complex, device=self.device)

    def _real(self, values: Any) -> Tensor:
        import torch

        return torch.as_tensor(values, dtype=self._dtype, device=self.device)
