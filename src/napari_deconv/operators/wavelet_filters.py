"""Orthonormal wavelet filters: Haar, Battle-Lemarie splines, pywavelets' orthogonal families."""

from __future__ import annotations

import difflib
import math
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_deconv.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPLINES = {"spline-1": 1, "spline-3": 3, "spline-5": 5}
# Of pywavelets, the families that are orthonormal with filters of finite length; its discrete
# Meyer wavelet is so only nearly.
_FAMILIES = ("db", "sym", "coif")
# Taps of a spline's infinite filter below this are left out: it stays orthonormal to 1e-7.
_TAIL = 1e-8
# Samples of a filter's Fourier transform: its tails at half of them lie far below any rounding.
_SAMPLES = 4096


class Filter(NamedTuple):
    """A low-pass filter: an even number of taps, orthonormal to their own shifts by two."""

    taps: NDArray[np.float64]

    @property
    def highpass(self) -> NDArray[np.float64]:
        """The taps of the wavelet, by the mirror relation ``-(-1)^m h[L-1-m]``."""
        mirrored: NDArray[np.float64] = -((-1.0) ** np.arange(len(self.taps))) * self.taps[::-1]
        return mirrored

    @property
    def reach(self) -> int:
        """The number of taps between which all but a thousandth of the energy lies."""
        energy = np.cumsum(self.taps**2)
        return int((energy < 0.9995).sum() - (energy < 0.0005).sum()) + 1


@cache
def wavelet_filter(name: str) -> Filter:
    """Return the filter of a wavelet.

    Parameters
    ----------
    name
        ``haar``; ``spline-1``, ``spline-3`` or ``spline-5`` for the Battle-Lemarie wavelet of that
        degree; or a pywavelets name of the families db, sym and coif.

    Raises
    ------
    ParameterError
        For any other name; the message lists those that are there.
    """
    if name == "haar":
        return Filter(np.full(2, math.sqrt(0.5)))
    if name in _SPLINES:
        return _battle_lemarie(_SPLINES[name])
    import pywt

    known = [n for family in _FAMILIES for n in pywt.wavelist(family)]
    if name not in known:
        names = ["haar", *_SPLINES, *known]
        close = difflib.get_close_matches(str(name), names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ParameterError(
            f"There is no orthonormal wavelet {name!r}.{hint} Known: haar, "
            f"{', '.join(_SPLINES)}, {_spans(known)}."
        )
    # The reconstruction filter is the scaling function's own, first tap first.
    return Filter(np.asarray(pywt.Wavelet(name).rec_lo, dtype=np.float64))


def _battle_lemarie(degree: int) -> Filter:
    r"""Return the orthonormal filter of splines of odd degree n (Battle 1987, Lemarie 1988).

    In the frequency w, :math:`H = \sqrt2 \cos^{n+1}(w/2) \sqrt{A(w) / A(2w)}` (Mallat, A Wavelet
    Tour of Signal Processing, equation 7.18), with :math:`A(w) = \sum_k B(k) e^{-ikw}` of the
    B-spline B of degree 2n + 1.
    """
    w = 2 * np.pi / _SAMPLES * np.arange(_SAMPLES)

    def sampled(frequency: NDArray[Any]) -> NDArray[np.float64]:
        order = 2 * degree + 2
        values = [_b_spline(order, k) for k in range(degree + 1)]
        waves = (2 * v * np.cos(k * frequency) for k, v in enumerate(values[1:], 1))
        return values[0] + sum(waves, np.zeros(_SAMPLES))

    response = math.sqrt(2) * np.cos(w / 2) ** (degree + 1) * np.sqrt(sampled(w) / sampled(2 * w))
    taps = np.fft.ifft(response).real
    radius = int(np.flatnonzero(np.abs(taps[: _SAMPLES // 2]) >= _TAIL).max())
    # Symmetric about its centre; the last tap is there for an even number of them.
    return Filter(np.append(taps[np.arange(-radius, radius + 1)], 0.0))


def _b_spline(order: int, k: int) -> float:
    """Return the centred B-spline of an order (degree + 1) at a whole number, exactly rounded."""
    # Twice the argument, and its powers, are whole numbers.
    degree = order - 1
    total: int = sum(
        (1 - 2 * (j % 2)) * math.comb(order, j) * pow(2 * k + order - 2 * j, degree)
        for j in range(order + 1)
        if 2 * k + order > 2 * j
    )
    return float(total / (2**degree * math.factorial(degree)))


def _spans(names: list[str]) -> str:
    """Return names such as db1, db2, db3 as "db1 to db3"."""
    spans = []
    for family in _FAMILIES:
        numbers = [int(n.removeprefix(family)) for n in names if n.startswith(family)]
        spans.append(f"{family}{min(numbers)} to {family}{max(numbers)}")
    return ", ".join(spans)
