"""The pupil that explains beads: phase retrieval by maximum likelihood.

A pupil has some thirty numbers, a bead's stack tens of thousands: fitted to it, the pupil gives a
PSF without noise, for any size and sampling (Hanser et al. 2004; by likelihood as in ZOLA, Aristov
et al. 2018). Every number's derivative is a field of its own, since all of them (aberrations,
amplitude, position) multiply the pupil by something; so each step is one of Fisher's scoring, and
a dozen are enough.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from napari_deconv.errors import FileError, InputError, ParameterError
from napari_deconv.optics.microscope import Microscope
from napari_deconv.optics.pupil_field import PupilModel
from napari_deconv.registry import Range, Unit, check_parameters, parameters_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

AMPLITUDES = (2, 3, 4, 5, 6, 11)  # Noll indices of the amplitude's logarithm
STRUCTURE = 0.1  # correlation of neighbours' residuals that calls for other starts
STARTS = 12  # from which a fit is tried then
TRY = 8  # steps that tell whether one is worth going on with
PADDING = 0.75  # noise is above what a wider field would be better by
COARSE = 10  # planes, about, on which the way is found
OWN = 5  # numbers of each bead: z, y, x, brightness, background


@dataclass(frozen=True, kw_only=True)
class Pupil:
    """What a fit to beads has found.

    Attributes
    ----------
    coefficients
        Noll indices and waves rms at the emission wavelength.
    errors
        Their standard errors.
    amplitude
        Noll indices and coefficients of the amplitude's logarithm.
    microscope
        Whose layers the fit has taken for given.
    positions
        Of each bead's focus as it would be without aberration, (z, y, x) um from index ``n // 2``.
    photons
        Of each bead in a plane.
    background
        Under each bead, photons per voxel.
    bead_diameter
        um, as given or found.
    misfit
        Mean squared residual in units of the noise: 1 where the fit leaves noise alone, more
        where the image has what no pupil explains (or more noise than it was said to have).
    structure
        Correlation of neighbouring voxels' residuals: 0 where nothing is left but noise.
    iterations
        Steps of the fit that was the best.
    """

    coefficients: dict[int, float]
    errors: dict[int, float] = field(default_factory=dict)
    amplitude: dict[int, float] = field(default_factory=dict)
    microscope: Microscope
    positions: tuple[tuple[float, float, float], ...] = ()
    photons: tuple[float, ...] = ()
    background: tuple[float, ...] = ()
    bead_diameter: float = 0.0
    misfit: float = math.nan
    structure: float = math.nan
    iterations: int = 0

    @property
    def aberrations(self) -> dict[int, float]:
        """The coefficients, as ``generate_psf(..., model="pupil", aberrations=...)`` takes them."""
        return dict(self.coefficients)

    @property
    def rms(self) -> float:
        """Root mean square of the wavefront, waves."""
        return math.sqrt(sum(c * c for c in self.coefficients.values()))

    def psf(
        self,
        shape: Sequence[int],
        spacing: Sequence[float],
        *,
        pixel_integration: bool = True,
    ) -> NDArray[np.float32]:
        """Return the PSF of a point, brightest plane in the middle.

        Parameters
        ----------
        shape
            Numbers of voxels (z, y, x), or (y, x) for the plane in focus.
        spacing
            Their size, um.
        pixel_integration
            Take the mean over each pixel's area.

        Returns
        -------
        float32 array of ``shape``
            With sum 1 and its origin at index ``n // 2`` on every axis.
        """
        from napari_deconv.optics.instrument import Instrument

        focus = Instrument(self.microscope, "pupil", aberrations=self.coefficients).focus()
        planes = shape[0] if len(shape) == 3 else 1
        model = PupilModel(
            self.microscope,
            shape,
            spacing,
            z=focus + spacing[0] * (np.arange(planes) - planes // 2),
            indices=self.coefficients,
            amplitude_indices=self.amplitude,
            pixel_integration=pixel_integration,
        )
        image = model.psf(list(self.coefficients.values()), amplitude=list(self.amplitude.values()))
        psf: NDArray[np.float32] = image.numpy().clip(min=0)
        psf /= psf.sum(dtype=np.float64)
        return psf

    def save(self, path: str | Path) -> None:
        """Write everything to a JSON file."""
        Path(path).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Pupil:
        """Read what ``save`` wrote.

        Raises
        ------
        FileError
            When the file cannot be read or holds something else.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            for name in ("coefficients", "errors", "amplitude"):
                values[name] = {int(j): float(c) for j, c in values[name].items()}
            values["microscope"] = Microscope(**values["microscope"])
            values["positions"] = tuple(tuple(each) for each in values["positions"])
            values |= {name: tuple(values[name]) for name in ("photons", "background")}
            return cls(**values)
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error.strerror}.") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileError(f"{path} holds no pupil: {error}.") from error


def retrieve_pupil(
    beads: ArrayLike,
    spacing: Sequence[float],
    microscope: Microscope,
    *,
    indices: Iterable[int] = range(5, 23),
    amplitude: bool = True,
    bead_diameter: Annotated[float, Range(0, 10), Unit("um")] = 0.0,
    fit_diameter: bool = False,
    pixel_integration: bool = True,
    gain: Annotated[float, Range(1e-12, 1e12)] = 1.0,
    offset: float = 0.0,
    read_noise: Annotated[float, Range(0, 1e12)] = 0.0,
    iterations: Annotated[int, Range(1, 1000)] = 40,
) -> Pupil:
    """Fit a pupil to a bead's stack, to an average of beads, or to several beads at once.

    The likelihood is Poisson's, with the variance of the read noise added to data and model.
    All beads share the pupil; each has its own position, brightness and background. Where the
    fit leaves structure behind, it is started again from other aberrations and foci, and the
    likeliest is taken.

    Parameters
    ----------
    beads
        One stack (z, y, x), or several (N, z, y, x), the beads near their middle. Increasing z is
        deeper in the sample.
    spacing
        Voxel size (z, y, x), um.
    microscope
        Its layers are taken for given: a wrong coverslip shows as spherical aberration.
    indices
        Noll indices of the aberrations to fit. Tilt is a position, and defocus (4) nearly is; with
        it among them, z stays where the layers have their focus.
    amplitude
        Fit the pupil's amplitude, too, by polynomials of low order.
    bead_diameter
        Of the beads, um.
    fit_diameter
        Start from that diameter and fit it; it has to be above 0.
    pixel_integration
        Whether pixels take the mean over their area, as a camera's do.
    gain
        Units of the image for each photon.
    offset
        What the camera shows without light, in units of the image.
    read_noise
        Its standard deviation, in units of the image; 0 to read it, and other noise that is not
        photons', from the stack's border.
    iterations
        Most steps a fit takes; it stops when nothing changes.

    Returns
    -------
    Pupil
        What was found.

    Raises
    ------
    InputError
        When ``beads`` is not one or several stacks of finite numbers with at least three planes.
    ParameterError
        When a parameter does not fit.
    """
    given = locals()
    own = parameters_of(retrieve_pupil, skip=("indices",))
    checked = check_parameters("retrieve_pupil", own, {name: given[name] for name in own})
    wanted = tuple(dict.fromkeys(int(j) for j in indices))
    if not wanted or min(wanted) < 4:
        raise ParameterError(
            f"indices is {wanted}, but has to be Noll indices from 4 on: piston does nothing, and "
            "tilt is a position."
        )
    if fit_diameter and bead_diameter == 0:
        raise ParameterError("Fitting the beads' diameter needs one to start from: bead_diameter.")
    stacks = (_stacks(beads) - offset) / gain
    steps = checked["iterations"]
    planes = stacks.shape[1]
    z = spacing[0] * (np.arange(planes) - planes // 2)
    fine = _Fit(stacks, z, tuple(spacing), microscope, wanted, checked)
    # The way is found on some of the planes, and gone to the end on all of them.
    some = slice(planes // 2 % max(planes // COARSE, 1), None, max(planes // COARSE, 1))
    coarse = _Fit(stacks[:, some], z[some], tuple(spacing), microscope, wanted, checked)
    found = coarse.search(fine.start(), steps)
    return fine.pupil(fine.run(fine.scaled(found.numbers), steps))


@dataclass(frozen=True)
class _State:
    numbers: NDArray[np.float64]
    loss: float
    iterations: int


class _Fit:
    """Beads, the model of them and its derivatives.

    The numbers are, in this order, aberrations (waves), the amplitude's, the diameter's if it is
    fitted (um), and for each bead z, y, x (um), brightness and background (photons).
    """

    def __init__(
        self,
        stacks: NDArray[np.float64],
        z: NDArray[np.float64],
        spacing: tuple[float, ...],
        microscope: Microscope,
        indices: tuple[int, ...],
        options: dict[str, Any],
    ) -> None:
        import torch

        self.z, self.spacing = z, spacing
        self.microscope, self.indices = microscope, indices
        self.diameter: float = options["bead_diameter"]
        self.fit_diameter: bool = options["fit_diameter"]
        self.amplitudes = AMPLITUDES if options["amplitude"] else ()
        self.model = PupilModel(
            microscope,
            stacks.shape[1:],
            spacing,
            z=z,
            indices=indices,
            amplitude_indices=self.amplitudes,
            bead_diameter=self.diameter,
            pixel_integration=options["pixel_integration"],
            padding=PADDING,
        )
        self.shared = len(indices) + len(self.amplitudes) + self.fit_diameter
        read = options["read_noise"] / options["gain"]
        self.pedestal = [read**2 or _excess(stack) for stack in stacks]
        self.stacks = stacks
        # Poisson's variance for the read noise's: added to data and model alike.
        self.data = [
            torch.as_tensor((stack + more).clip(min=0))
            for stack, more in zip(stacks, self.pedestal, strict=True)
        ]
        grid, k = self.model.grid, 2 * math.pi / self.model.wavelength
        na = microscope.numerical_aperture
        axial = grid.path.axial(grid.s) - microscope.immersion_index
        moves = np.stack([axial, na * grid.y, na * grid.x])
        # What each number but the last two of a bead multiplies the pupil by.
        self.moves = torch.as_tensor(1j * k * moves, dtype=torch.complex64)
        self.factors = torch.cat(
            [
                2j * math.pi * self.model.basis.to(torch.complex64),
                self.model.amplitude_basis.to(torch.complex64),
            ]
        )
        self.all = torch.cat([self.factors, self.moves])

    def start(self) -> NDArray[np.float64]:
        """Return numbers without aberration, each bead where it is brightest.

        For a fit to all planes, 0 at the middle one.
        """
        from napari_deconv.optics.generate import focal_shift

        numbers = np.zeros(self.shared + OWN * len(self.stacks))
        if self.fit_diameter:
            numbers[self.shared - 1] = self.diameter
        focus = 0.0 if 4 in self.indices else focal_shift(self.microscope)
        for i, stack in enumerate(self.stacks):
            place = np.array(_peak(stack))
            where = (place - np.array(stack.shape) // 2) * self.spacing
            where[0] = 0.0 if 4 in self.indices else where[0] - focus
            numbers[self.own(i)][:3] = where
        return self.scaled(numbers)

    def search(self, start: NDArray[np.float64], steps: int) -> _State:
        """Return the likeliest of fits from several starts, or the first that leaves only noise."""
        best = self.run(self.scaled(start), steps)
        for numbers in self._other_starts(start):
            if self.structure(best.numbers) < STRUCTURE:
                break
            other = self.run(numbers, TRY)
            if other.loss < best.loss:
                best = self.run(other.numbers, steps)
        return best

    def _other_starts(self, start: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        """Yield numbers with aberrations, or a focus, that a fit may not find by itself."""
        low = [self.indices.index(j) for j in (4, 5, 6, 7, 8, 11) if j in self.indices]
        period = self.microscope.emission_wavelength / self.microscope.axial_aperture
        rng = np.random.default_rng(0)
        for i in range(STARTS):
            numbers = start.copy()
            numbers[low] = 0.15 * rng.standard_normal(len(low))
            if 4 not in self.indices:
                for bead in range(len(self.stacks)):
                    numbers[self.own(bead)][0] += (i % 3 - 1) * period / 2
            yield self.scaled(numbers)

    def own(self, bead: int) -> slice:
        """Return where a bead's own numbers are."""
        first = self.shared + OWN * bead
        return slice(first, first + OWN)

    def scaled(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the numbers with the likeliest brightness and background, nearly."""
        numbers = numbers.copy()
        for i, stack in enumerate(self.stacks):
            numbers[self.own(i)][3:] = 1.0, 0.0
            shape = self.images(numbers, i)[0].numpy().ravel()
            matrix = np.stack([shape, np.ones_like(shape)], axis=1)
            (height, level), *_ = np.linalg.lstsq(matrix, stack.ravel(), rcond=None)
            numbers[self.own(i)][3:] = max(height, 1e-3 * float(np.ptp(stack))), level
        return numbers

    def images(
        self, numbers: NDArray[np.float64], bead: int, *, derive: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return a bead's image (z, y, x), and its derivatives (number, z, y, x), shared first."""
        import torch

        count, own = len(self.indices), numbers[self.own(bead)]
        end = count + len(self.amplitudes)
        exponent = torch.as_tensor(numbers[:end], dtype=torch.complex64) @ self.factors
        exponent = exponent + torch.as_tensor(own[:3], dtype=torch.complex64) @ self.moves
        pupil = torch.exp(exponent) * self.model.light
        diameter = float(numbers[self.shared - 1]) if self.fit_diameter else self.diameter
        spectrum = self.model.filter(max(diameter, 0.0)) if self.fit_diameter else None
        field = self.model.field(pupil)
        intensity = field.real.square() + field.imag.square()
        shape = self.model.filtered(intensity, spectrum)
        image = own[3] * shape.double() + own[4]
        if not derive:
            return image, None
        parts = []
        for factors in torch.split(self.all, 4):
            fields = self.model.field(factors[:, None] * pupil)
            # 2 Re(conj(U) dU)
            rise = 2 * (field.real * fields.real + field.imag * fields.imag)
            parts.append(own[3] * self.model.filtered(rise, spectrum))
        rises = torch.cat(parts)
        shared, moved = rises[:end], rises[end:]
        if self.fit_diameter:
            step = 0.01 * self.diameter
            change = self.model.filter(diameter + step) - self.model.filter(diameter - step)
            grown = own[3] * self.model.filtered(intensity, change / (2 * step))
            shared = torch.cat([shared, grown[None]])
        if 4 in self.indices:
            moved[0] = 0.0
        own_rises = torch.cat([moved, shape[None], torch.ones_like(shape)[None]])
        return image, torch.cat([shared, own_rises]).double()

    def expected(self, image: Tensor, bead: int) -> Tensor:
        """Return the mean of the data, pedestal included, never quite dark."""
        least = 1e-6 * float(self.data[bead].max()) + 1e-12
        mean: Tensor = (image + self.pedestal[bead]).clamp(min=least)
        return mean

    def loss(self, numbers: NDArray[np.float64]) -> float:
        """Return the negative logarithm of the likelihood, less that of a perfect fit."""
        import torch

        total = 0.0
        for i, data in enumerate(self.data):
            mean = self.expected(self.images(numbers, i)[0], i)
            total += float((mean - data + torch.xlogy(data, data / mean)).sum())
        return total

    def scores(self, numbers: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the gradient of the likelihood's logarithm and Fisher's information."""
        gradient, information = np.zeros(numbers.size), np.zeros((numbers.size, numbers.size))
        for i, data in enumerate(self.data):
            image, rises = self.images(numbers, i, derive=True)
            assert rises is not None
            mean = self.expected(image, i).ravel()
            flat = rises.reshape(len(rises), -1)
            weighted = flat / mean
            own = self.own(i)
            at = np.r_[0 : self.shared, own.start : own.stop]
            gradient[at] += (weighted @ (data.ravel() - mean)).numpy()
            information[np.ix_(at, at)] += (weighted @ flat.T).numpy()
        return gradient, information

    def run(self, numbers: NDArray[np.float64], most: int) -> _State:
        """Climb the likelihood by damped scoring (Levenberg and Marquardt) until it stands."""
        loss, damping = self.loss(numbers), 1e-2
        step = 0
        for step in range(1, most + 1):  # noqa: B007
            gradient, information = self.scores(numbers)
            scale = np.where(np.diag(information) > 0, np.diag(information), 1.0)
            gained = 0.0
            while damping < 1e8:
                matrix = information + damping * np.diag(scale)
                move = np.linalg.lstsq(
                    matrix / np.sqrt(np.outer(scale, scale)), gradient / np.sqrt(scale), rcond=1e-12
                )[0] / np.sqrt(scale)
                trial = numbers + np.where(np.diag(information) > 0, move, 0.0)
                tried = self.loss(trial)
                if tried < loss:
                    gained, numbers, loss = loss - tried, trial, tried
                    damping = max(damping / 8, 1e-7)
                    break
                damping *= 6
            if gained < 1e-2 + 1e-7 * loss:  # a hundredth of what noise alone makes of a number
                break
        return _State(numbers, loss, step)

    def residuals(self, numbers: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return each bead's data less its image, in units of the noise."""
        out = []
        for i, data in enumerate(self.data):
            mean = self.expected(self.images(numbers, i)[0], i)
            out.append(((data - mean) / mean.sqrt()).numpy())
        return out

    def structure(self, numbers: NDArray[np.float64]) -> float:
        """Return the correlation of residuals of neighbouring pixels."""
        products = squares = 0.0
        for each in self.residuals(numbers):
            products += (each[:, :, 1:] * each[:, :, :-1]).mean()
            products += (each[:, 1:] * each[:, :-1]).mean()
            squares += 2 * (each**2).mean()
        return float(products / max(squares, 1e-300))

    def pupil(self, state: _State) -> Pupil:
        """Return what the numbers mean."""
        numbers, count = state.numbers, len(self.indices)
        _, information = self.scores(numbers)
        residuals = self.residuals(numbers)
        misfit = float(np.mean([(each**2).mean() for each in residuals]))
        # Where there is more noise than was told, errors are larger, too.
        spread = np.sqrt(np.diag(np.linalg.pinv(information)).clip(min=0) * max(misfit, 1.0))
        own = [numbers[self.own(i)] for i in range(len(self.stacks))]
        return Pupil(
            coefficients=dict(zip(self.indices, map(float, numbers), strict=False)),
            errors=dict(zip(self.indices, map(float, spread), strict=False)),
            amplitude=dict(zip(self.amplitudes, map(float, numbers[count:]), strict=False)),
            microscope=self.microscope,
            positions=tuple((float(z), float(y), float(x)) for z, y, x, *_ in own),
            photons=tuple(float(each[3]) * self._light(numbers) for each in own),
            background=tuple(float(each[4]) for each in own),
            bead_diameter=float(numbers[self.shared - 1]) if self.fit_diameter else self.diameter,
            misfit=misfit,
            structure=self.structure(numbers),
            iterations=state.iterations,
        )

    def _light(self, numbers: NDArray[np.float64]) -> float:
        """Return the light in a plane, in pixels of brightness 1 (Parseval)."""
        import torch

        first = len(self.indices)
        amplitude = torch.as_tensor(numbers[first : first + len(self.amplitudes)])
        bright = torch.exp(amplitude.float() @ self.model.amplitude_basis)
        middle = self.model.light[len(self.model.light) // 2]
        light = float((bright * middle.abs()).square().sum()) * self.model.grid.width**2
        return light / (self.spacing[1] * self.spacing[2])


def _stacks(beads: ArrayLike) -> NDArray[np.float64]:
    stacks = np.asarray(beads, np.float64)
    stacks = stacks[None] if stacks.ndim == 3 else stacks
    if stacks.ndim != 4 or stacks.shape[1] < 3 or min(stacks.shape[2:]) < 8:
        raise InputError(
            f"beads has the shape {np.shape(beads)}, but has to be (z, y, x) or (N, z, y, x) with "
            "at least 3 planes of 8 x 8 pixels: a single plane does not tell an aberration's sign."
        )
    if not np.isfinite(stacks).all():
        raise InputError("beads holds values that are not numbers: leave them out or fill them.")
    if np.ptp(stacks, axis=(1, 2, 3)).min() == 0:
        raise InputError("A bead's stack has the same value everywhere: there is no bead in it.")
    return stacks


def _excess(stack: NDArray[np.float64]) -> float:
    """Return the variance of a stack's border beyond Poisson's.

    From differences of neighbours, which leave the bead's own light out.
    """
    border = np.ones(stack.shape[1:], bool)
    border[2:-2, 2:-2] = False
    change = np.diff(stack, axis=0)[:, border]
    variance = (1.4826 * float(np.median(abs(change)))) ** 2 / 2
    return max(variance - max(float(np.median(stack[:, border])), 0.0), 0.0)


def _peak(stack: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return where a bead is: its brightest plane, and its middle there."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(stack, (0.7, 1, 1))
    top = np.unravel_index(np.argmax(smooth), smooth.shape)
    z = int(top[0])
    plane = smooth[z] - np.median(smooth[z])
    plane = np.where(plane > plane[top[1:]] / 2, plane, 0)
    labels, _ = ndimage.label(plane > 0)
    y, x = ndimage.center_of_mass(np.where(labels == labels[top[1:]], plane, 0))
    return float(z), float(y), float(x)
