"""One file, one restoration method: to add one, write a file here.

The package can be called: ``napari_deconv.methods()`` returns all of them by their ids, also after
the import of this package has put it where that function was.
"""

from __future__ import annotations

import sys
from types import ModuleType

from napari_deconv import registry


class _Methods(ModuleType):
    def __call__(self) -> dict[str, registry.Method]:
        return registry.methods()


sys.modules[__name__].__class__ = _Methods
