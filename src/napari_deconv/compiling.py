"""How loops are compiled by numba, which not everybody has: imported where they are called.

Loops have to be functions of a module: numba keeps them on disk for the next process, which it
does not find again where one that is made inside a function calls another.
"""

from __future__ import annotations

import numba

# Sums may be taken in any order; infinities and NaN are respected.
compiled = numba.njit(
    nogil=True,
    fastmath={"reassoc", "contract", "arcp", "nsz"},
    error_model="numpy",
    cache=True,
)
