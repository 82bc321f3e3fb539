"""A plugin for pydicom: imagecodecs unpacks lossless, 12-bit and JPEG-LS frames.

The usual package for these, gdcm, ends the whole program on some damaged files, so it is not used here.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from pydicom.pixels import get_decoder
from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless

if TYPE_CHECKING:
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
    """Unpack one frame; pydicom calls."""
    import imagecodecs

    if runner.transfer_syntax in _JPEG_LS:
        return imagecodecs.jpegls_decode(source).tobytes()
    return imagecodecs.jpeg8_decode(source).tobytes()


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
