"""How loops are compiled by numba, which not everybody has: imported where they are called.

Loops have to be functions of a module: numba keeps them on disk for the next process, which it
does not find again where one that is made inside a function calls another. It looks at the file of
each function alone: after a change here, or in a loop that one of another file calls, remove the
``__pycache__`` folders, or what was compiled before goes on being used.
"""

from __future__ import annotations

import numba

# Sums may be taken in any order; infinities and NaN are respected. Divisions by zero make them, as
# numpy's do: an exception that each one may raise would keep the compiler from taking several
# voxels at once.
compiled = numba.njit(
    nogil=True,
    fastmath={"reassoc", "contract", "arcp", "nsz"},
    error_model="numpy",
    cache=True,
)
