"""The Reconstruct dock, with its Compare page."""

from .dock import ReconstructWidget

__all__ = ["ReconstructWidget"]
