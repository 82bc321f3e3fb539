"""Undersampled-MRI reconstruction: from k-space to images."""

from .consistency import data_consistency, data_residual
from .kspace import fft2c, ifft2c, rss
from .sampling import sampling_mask

__all__ = ["data_consistency", "data_residual", "fft2c", "ifft2c", "rss", "sampling_mask"]
