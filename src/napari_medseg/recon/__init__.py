"""Undersampled-MRI reconstruction: from k-space to images."""

from .consistency import data_consistency, data_residual
from .sampling import sampling_mask
from .transforms import fft2c, ifft2c, rss

__all__ = ["data_consistency", "data_residual", "fft2c", "ifft2c", "rss", "sampling_mask"]
