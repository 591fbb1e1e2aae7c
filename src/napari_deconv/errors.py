"""Errors in plain words: what is wrong, and what to do about it."""

from __future__ import annotations


class DeconvolutionError(Exception):
    """Anything that is refused; the message is meant for the person at the microscope."""


class InputError(DeconvolutionError, ValueError):
    """The image or the PSF cannot be used as it is."""


class ParameterError(DeconvolutionError, ValueError):
    """An unknown method, model or parameter, or a value outside its bounds."""


class FileError(DeconvolutionError, OSError):
    """A file that cannot be read or written."""


class JobError(DeconvolutionError, RuntimeError):
    """A job that could not be finished, for instance for want of memory."""
