"""A plugin for pydicom: imagecodecs unpacks lossless, 12-bit and JPEG-LS frames.

The usual package for these, gdcm, ends the whole program on some damaged files, so it is not used here.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from pydicom.pixels import get_decoder
from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless

if TYPE_CHECKING:
    import numpy as np
    import pydicom
    from pydicom.pixels.decoders.base import DecodeRunner

_NAME = "imagecodecs"
_UNSAFE = "gdcm"
_JPEG_LS = (JPEGLSLossless, JPEGLSNearLossless)
_SYNTAXES = (JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, *_JPEG_LS)

DECODER_DEPENDENCIES = {syntax: (_NAME,) for syntax in _SYNTAXES}
"""What pydicom names in its messages."""


def is_available(syntax: str) -> bool:
    """Whether frames of a transfer syntax can be unpacked; pydicom asks."""
    return syntax in _SYNTAXES and find_spec(_NAME) is not None


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """Unpack one frame into samples as they were stored, without a change of colours; pydicom calls and converts."""
    import imagecodecs

    if runner.transfer_syntax in _JPEG_LS:
        image = _signed(imagecodecs.jpegls_decode(source), runner)
    elif runner.samples_per_pixel == 3:
        # one name for both sides: no conversion, whatever the colours are
        image = imagecodecs.jpeg8_decode(source, colorspace="YCBCR", outcolorspace="YCBCR")
    else:
        image = imagecodecs.jpeg8_decode(source)
    runner.set_option("planar_configuration", 0)
    # samples may be smaller than the file says; pydicom widens them
    runner.set_option("bits_allocated", 8 * image.dtype.itemsize)
    return image.tobytes()


def _signed(image: np.ndarray, runner: DecodeRunner) -> np.ndarray:
    """Carry the sign into the unused bits: JPEG-LS knows no signs, and its precision may exceed the bits stored."""
    unused = 8 * image.dtype.itemsize - runner.bits_stored
    if runner.pixel_representation == 0 or unused <= 0:
        return image
    return (image.view(f"i{image.dtype.itemsize}") << unused) >> unused


def plugins(dataset: pydicom.Dataset) -> list[str]:
    """Names of the plugins of pydicom that may unpack the pixels of `dataset`; [""] where nothing is packed.

    Raises
    ------
    NotImplementedError
        If pydicom knows no such compression.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return [""]
    return [name for name in get_decoder(syntax).available_plugins if name != _UNSAFE]


for _syntax in _SYNTAXES:
    get_decoder(_syntax).add_plugin(_NAME, (__name__, "decode_frame"))
