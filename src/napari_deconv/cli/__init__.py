"""The shell: ``napari-deconv COMMAND``, its options read from the registry."""

from napari_deconv.cli.shell import main

__all__ = ["main"]
