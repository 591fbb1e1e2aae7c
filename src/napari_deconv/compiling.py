"""How loops are compiled by numba, and what helps them along: imported where they are called.

Loops have to be functions of a module: numba keeps them on disk for the next process, which it
does not find again where one that is made inside a function calls another. It looks at the file of
each function alone: after a change here, or in a loop that one of another file calls, remove the
``__pycache__`` folders, or what was compiled before goes on being used.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

# Sums may be taken in any order; infinities and NaN are respected. Divisions by zero make them, as
# numpy's do: an exception that each one may raise would keep the compiler from taking several
# voxels at once.
compiled = numba.njit(
    nogil=True,
    fastmath={"reassoc", "contract", "arcp", "nsz"},
    error_model="numpy",
    cache=True,
)
# Bytes of a cache line, on most processors; where lines are longer, some are asked for twice.
_LINE = 64


@compiled
def copy(a: Any, out: Any) -> None:
    """Write ``a``; numba's own assignment is several times slower."""
    for i in range(out.size):
        out[i] = a[i]


@intrinsic
def fetch(context: Any, block: Any) -> Any:
    """Ask for an array without gaps that will be needed soon, and go on without waiting for it.

    A processor foresees what comes next along an array. Where rows of a dozen arrays are taken in
    turn it does not, and waits for memory at the beginning of each. This is LLVM's prefetch.
    """
    del context

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        read, near, data = (ir.Constant(number, n) for n in (0, 3, 1))
        first, size = builder.bitcast(array.data, byte), array.itemsize
        for extent in cgutils.unpack_tuple(builder, array.shape):
            size = builder.mul(size, extent)
        zero, line = size.type(0), size.type(_LINE)
        with cgutils.for_range_slice(builder, zero, size, line, inc=True) as (offset, _):
            builder.call(function, [builder.gep(first, [offset]), read, near, data])
        return context.get_dummy_value()

    return numba.types.void(block), generate


@intrinsic
def lent(context: Any, array: Any) -> Any:
    """Return an array of the caller's, without counting who holds it.

    Each row that is taken out of it would be counted, and each function it is given to: a locked
    addition there and back, of which dozens for each row take longer than the row. Only for
    arguments: the caller holds them until the end.
    """
    del context

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        made.meminfo = ir.Constant(made.meminfo.type, None)
        made.parent = ir.Constant(made.parent.type, None)
        return made._getvalue()

    return array(array), generate
