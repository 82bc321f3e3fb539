"""Labels from images: the job, its engine over slices and tiles, several models together, router maps."""

from .consensus import segment

__all__ = ["segment"]
