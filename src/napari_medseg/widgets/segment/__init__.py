"""The Segment dock."""

from .dock import SegmentWidget

__all__ = ["SegmentWidget"]
