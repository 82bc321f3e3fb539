"""The Acceleration study dock."""

from .dock import StudyWidget

__all__ = ["StudyWidget"]
