"""The Segment dock."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Import the widget when it is asked for: `state` can be used without a window."""
    if name == "SegmentWidget":
        from .dock import SegmentWidget

        return SegmentWidget
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
