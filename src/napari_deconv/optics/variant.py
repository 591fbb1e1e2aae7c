"""A PSF that changes over the field of view or with depth: eigen-PSFs and their maps."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_deconv.errors import FileError, InputError, ParameterError
from napari_deconv.registry import Advanced, Range, check_parameters, parameters_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from napari_deconv.optics.beads.find import Bead
    from napari_deconv.optics.microscope import Microscope

Order = Literal["product-convolution", "convolution-product"]

# Nodes of the coarse grid on which maps are kept, between which splines lead.
_NODES = 33
_MOST_TERMS = 40


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """How a set of PSFs becomes a model of the whole field.

    Parameters
    ----------
    terms
        Number of eigen-PSFs, the mean included; automatic takes as many as the tolerance asks for.
    tolerance
        Relative error (L2) that the PSFs given may keep, of all of them together.
    align
        Move each PSF so that its own middle is at the origin: where a bead stood is not known, so
        shifts between measured PSFs tell nothing. Without, distortion is part of the model.
    order
        Whether the PSF is that of the place where light comes from (product-convolution) or of
        that where it arrives.
    smoothing
        How far maps may keep away from the coefficients found, for PSFs with noise; 0 passes
        through each of them.
    """

    terms: Annotated[int | Literal["auto"], Range(1, _MOST_TERMS)] = "auto"
    tolerance: Annotated[float, Range(1e-6, 0.5, logarithmic=True)] = 0.01
    align: bool = True
    order: Annotated[Order, Advanced()] = "product-convolution"
    smoothing: Annotated[float, Range(0.0, 1e6), Advanced()] = 0.0


@dataclass(frozen=True, eq=False)
class VariantPsf:
    """The PSF at every place of an image: ``sum_k maps_k(place) components_k``.

    To be given to ``restore`` as ``psf``; every iterative method takes it.

    Attributes
    ----------
    components
        Eigen-PSFs (k, [z,] y, x), the mean PSF first; origin at ``n // 2``. Those after the mean
        sum to 0, so that the PSF's light is the same everywhere.
    maps
        Their coefficients (k, [z,] y, x) on a coarse grid; length 1 where they do not change.
    places
        Voxels of the image at which that grid's nodes are, for each axis.
    image_shape
        Shape of the image that the places refer to.
    spacing
        Voxel size of image and PSF, um, where known.
    order
        See :class:`Expansion`.
    residual
        Relative error (L2) with which the PSFs it was made of are reproduced.
    """

    components: NDArray[np.float32]
    maps: NDArray[np.float64]
    places: tuple[NDArray[np.float64], ...]
    image_shape: tuple[int, ...]
    spacing: tuple[float, ...] | None = None
    order: Order = "product-convolution"
    residual: float = 0.0

    def __post_init__(self) -> None:
        ndim = self.components.ndim - 1
        nodes = tuple(len(p) for p in self.places)
        if ndim not in (2, 3) or self.maps.shape != (len(self.components), *nodes):
            raise InputError(
                f"Eigen-PSFs {self.components.shape} and maps {self.maps.shape} on "
                f"{nodes} places do not go together."
            )
        if len(self.image_shape) != ndim or (self.spacing and len(self.spacing) != ndim):
            raise InputError(f"Image shape and spacing have to have {ndim} numbers.")
        if self.order not in ("product-convolution", "convolution-product"):
            raise ParameterError(f"order is {self.order!r}.")

    @classmethod
    def from_psfs(
        cls,
        psfs: ArrayLike,
        positions: ArrayLike,
        image_shape: Sequence[int],
        *,
        spacing: Sequence[float] | None = None,
        terms: int | Literal["auto"] = "auto",
        tolerance: float = 0.01,
        align: bool = True,
        order: Order = "product-convolution",
        smoothing: float = 0.0,
    ) -> VariantPsf:
        """Make the model from PSFs at some places.

        The eigen-PSFs are the principal components of the PSFs, each of sum 1; their coefficients
        are led through the places by thin-plate splines, which no grid is needed for.

        Parameters
        ----------
        psfs
            PSFs (n, [z,] y, x), all of one shape, origins at ``n // 2``.
        positions
            Where each was, voxels (n, 2 or 3). Along an axis on which all are at the same place,
            the PSF does not change.
        image_shape
            Shape of the image, voxels.
        spacing
            Voxel size, um.
        terms, tolerance, align, order, smoothing
            See :class:`Expansion`.

        Raises
        ------
        InputError
            When PSFs and positions do not go together.
        ParameterError
            When a parameter is out of bounds.
        """
        given = {
            "terms": terms,
            "tolerance": tolerance,
            "align": align,
            "order": order,
            "smoothing": smoothing,
        }
        how = Expansion(**check_parameters("A space-variant PSF", parameters_of(Expansion), given))
        stack, where = _checked(psfs, positions, image_shape)
        if how.align:
            stack = np.stack([_aligned(psf) for psf in stack])
        stack = stack / stack.sum(axis=tuple(range(1, stack.ndim)), keepdims=True)
        mean = stack.mean(axis=0)
        flat = (stack - mean).reshape(len(stack), -1)
        left, strengths, right = np.linalg.svd(flat, full_matrices=False)
        count, residual = _terms(strengths, float((stack**2).sum()), how)
        components = np.concatenate([mean.reshape(1, -1), right[: count - 1]])
        coefficients = left[:, : count - 1] * strengths[: count - 1]
        places, maps = _maps(coefficients, where, image_shape, how.smoothing)
        return cls(
            components.reshape(count, *mean.shape).astype(np.float32),
            np.concatenate([np.ones((1, *maps.shape[1:])), maps]),
            places,
            tuple(int(n) for n in image_shape),
            tuple(float(s) for s in spacing) if spacing is not None else None,
            how.order,
            residual,
        )

    @property
    def ndim(self) -> int:
        """Number of the PSF's axes."""
        return self.components.ndim - 1

    @property
    def mean(self) -> NDArray[np.float32]:
        """The PSF on average over the field, sum 1."""
        shares = self.maps.reshape(len(self.maps), -1).mean(axis=1)
        mean = np.clip(np.tensordot(shares, self.components.astype(np.float64), 1), 0, None)
        return np.asarray(mean / mean.sum(), np.float32)

    def at(self, position: Sequence[float]) -> NDArray[np.float32]:
        """Return the PSF at a place of the image (voxels), sum 1, without negative values."""
        weights = self.weights([np.array([float(p)]) for p in position]).reshape(-1)
        psf = np.clip(np.tensordot(weights, self.components.astype(np.float64), 1), 0, None)
        return np.asarray(psf / psf.sum(), np.float32)

    def weights(self, places: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the coefficients (k, [z,] y, x) at all combinations of places along the axes.

        Beyond the outermost places they are those there; an axis along which nothing changes
        keeps length 1.
        """
        result = self.maps
        for axis, (nodes, wanted) in enumerate(zip(self.places, places, strict=True)):
            if len(nodes) == 1:
                continue
            matrix = _spline(nodes, np.clip(wanted, nodes[0], nodes[-1]))
            result = np.moveaxis(np.tensordot(matrix, result, (1, axis + 1)), 0, axis + 1)
        return result

    def part(self, start: Sequence[int], shape: Sequence[int]) -> VariantPsf:
        """Return the model for a part of the image, which begins at voxel ``start``."""
        places = tuple(p - s for p, s in zip(self.places, start, strict=True))
        return replace(self, places=places, image_shape=tuple(int(n) for n in shape))

    def save(self, path: str | Path) -> None:
        """Write the model to a file (.npz: plain arrays, nothing that could run)."""
        about = {
            "format": "napari-deconv space-variant PSF 1",
            "image_shape": list(self.image_shape),
            "spacing": list(self.spacing) if self.spacing else None,
            "order": self.order,
            "residual": self.residual,
        }
        places = {f"places_{axis}": nodes for axis, nodes in enumerate(self.places)}
        with open(path, "wb") as file:
            np.savez_compressed(
                file,
                about=np.array(json.dumps(about)),
                components=self.components,
                maps=self.maps,
                **places,  # type: ignore[arg-type]
            )

    @classmethod
    def load(cls, path: str | Path) -> VariantPsf:
        """Read a model from a file that :meth:`save` wrote.

        Raises
        ------
        FileError
            When the file cannot be read or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                components, maps = file["components"], file["maps"]
                places = tuple(file[f"places_{axis}"] for axis in range(components.ndim - 1))
            if not str(about.pop("format")).startswith("napari-deconv space-variant PSF"):
                raise ValueError("another format")
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise FileError(f"{path} holds no space-variant PSF ({error}).") from error
        spacing = about["spacing"]
        return cls(
            components.astype(np.float32),
            maps.astype(np.float64),
            places,
            tuple(about["image_shape"]),
            tuple(spacing) if spacing else None,
            about["order"],
            float(about["residual"]),
        )


def variant_from_beads(
    image: ArrayLike,
    beads: Sequence[Bead],
    spacing: Sequence[float],
    microscope: Microscope | None = None,
    *,
    shape: Sequence[int] | None = None,
    parts: tuple[int, int] = (3, 3),
    least: int = 3,
    modality: str = "widefield",
    bead_diameter: float = 0.0,
    **options: Any,
) -> VariantPsf:
    """Make the model from one image of beads: average them in each part of the field.

    Parameters
    ----------
    image, beads, spacing, microscope, shape, modality, bead_diameter
        As for :func:`napari_deconv.optics.beads.average_beads`.
    parts
        Numbers of parts along Y and X.
    least
        Beads that a part has to have to count.
    **options
        Of :meth:`VariantPsf.from_psfs`.

    Raises
    ------
    InputError
        When fewer than two parts have enough beads.
    """
    from napari_deconv.optics.beads.average import average_beads

    array = np.asarray(image)
    common = {"modality": modality, "bead_diameter": bead_diameter}
    whole = average_beads(array, beads, spacing, microscope, shape=shape, **common)  # type: ignore[arg-type]
    members: dict[tuple[int, ...], list[int]] = {}
    for number, bead in enumerate(whole.beads):
        if bead.accepted:
            part = tuple(
                min(int(p * b / n), b - 1)
                for p, n, b in zip(bead.position[-2:], array.shape[-2:], parts, strict=True)
            )
            members.setdefault(part, []).append(number)
    psfs, places = [], []
    for numbers in members.values():
        if len(numbers) < least:
            continue
        # The others stay in the list: their light is left out.
        chosen = [
            bead if number in numbers else bead.rejected("In another part of the field.")
            for number, bead in enumerate(whole.beads)
        ]
        average = average_beads(
            array,
            chosen,
            spacing,
            microscope,
            shape=whole.psf.shape,
            **common,  # type: ignore[arg-type]
        )
        psfs.append(average.psf)
        places.append(np.mean([whole.beads[n].position for n in numbers], axis=0))
    if len(psfs) < 2:
        raise InputError(
            f"Only {len(psfs)} of {parts[0]} x {parts[1]} parts of the field have {least} beads or "
            "more: choose fewer parts, or use one averaged PSF."
        )
    positions = np.array(places)
    if array.ndim == 3:
        positions[:, 0] = positions[:, 0].mean()  # beads lie where they lie; z is not the matter
    return VariantPsf.from_psfs(psfs, positions, array.shape, spacing=spacing, **options)


def _checked(
    psfs: ArrayLike, positions: ArrayLike, image_shape: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        stack = np.asarray(psfs, np.float64)
        where = np.asarray(positions, np.float64)
    except ValueError as error:
        raise InputError("The PSFs have to be arrays of one shape, with one position each.") from (
            error
        )
    ndim = stack.ndim - 1
    if ndim not in (2, 3) or where.shape != (len(stack), ndim) or len(image_shape) != ndim:
        raise InputError(
            f"PSFs {stack.shape}, positions {where.shape} and an image {tuple(image_shape)} "
            "do not go together: give (n, z, y, x), (n, 3) and (z, y, x), or (n, y, x), (n, 2) and "
            "(y, x)."
        )
    if not np.isfinite(stack).all() or not np.isfinite(where).all():
        raise InputError("PSFs or positions hold NaN or infinity.")
    if (stack.sum(axis=tuple(range(1, stack.ndim))) <= 0).any():
        raise InputError("One of the PSFs holds no light.")
    return stack, where


def _aligned(psf: NDArray[np.float64]) -> NDArray[np.float64]:
    from napari_deconv.optics.beads.align import moved
    from napari_deconv.optics.beads.measure import half_max_centroid

    place = half_max_centroid(psf)
    room = [(4, 4)] * psf.ndim
    shift = [n // 2 - p for n, p in zip(psf.shape, place, strict=True)]
    return moved(np.pad(psf, room), shift)[tuple(slice(4, -4) for _ in room)]


def _terms(strengths: NDArray[np.float64], energy: float, how: Expansion) -> tuple[int, float]:
    """Return the number of terms, the mean included, and the error that they leave."""
    rest = np.sqrt(np.append(np.cumsum(strengths[::-1] ** 2)[::-1], 0.0) / energy)
    if how.terms == "auto":
        count = 1 + int(np.flatnonzero(rest <= how.tolerance)[0])
        count = min(count, _MOST_TERMS)
    else:
        count = min(int(how.terms), len(strengths) + 1)
    return count, float(rest[count - 1])


def _maps(
    coefficients: NDArray[np.float64],
    where: NDArray[np.float64],
    image_shape: Sequence[int],
    smoothing: float,
) -> tuple[tuple[NDArray[np.float64], ...], NDArray[np.float64]]:
    """Lead coefficients (n, k) at scattered places over a coarse grid of the image."""
    from scipy.interpolate import RBFInterpolator

    changing = [axis for axis in range(where.shape[1]) if np.ptp(where[:, axis]) > 1e-6]
    places = tuple(
        np.linspace(0.0, n - 1.0, min(n, _NODES)) if axis in changing and n > 1 else np.zeros(1)
        for axis, n in enumerate(image_shape)
    )
    count = coefficients.shape[1]
    nodes = tuple(len(p) for p in places)
    if not changing or count == 0:
        level = coefficients.mean(axis=0).reshape(count, *([1] * len(nodes)))
        return places, np.broadcast_to(level, (count, *nodes)).copy()
    scale = max(image_shape[axis] for axis in changing)
    known = where[:, changing] / scale
    grids = np.meshgrid(*[places[axis] / scale for axis in changing], indexing="ij")
    wanted = np.stack([g.ravel() for g in grids], axis=1)
    # A plane below the spline needs places that are not all on one line.
    spread = known - known.mean(axis=0)
    planar = np.linalg.matrix_rank(spread, tol=1e-3) == len(changing) and len(known) > len(changing)
    found = RBFInterpolator(
        known,
        coefficients,
        kernel="thin_plate_spline" if planar else "linear",
        degree=1 if planar else 0,
        smoothing=smoothing,
    )(wanted)
    return places, found.T.reshape(count, *nodes)


def _spline(nodes: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix (wanted, nodes) of cubic interpolation between nodes."""
    from scipy.interpolate import CubicSpline

    return np.asarray(CubicSpline(nodes, np.eye(len(nodes)))(wanted))
