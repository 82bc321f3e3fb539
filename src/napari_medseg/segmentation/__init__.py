"""Labels from images: the job, its engine over slices and tiles, several models together, router maps, last runs.

`passes` go through a network side by side and end when a run is cancelled. Volumes are turned to the `orientation` of
a model; `locating` finds where it looks; `stacks` labels slices at hand.

`segment` is resolved on first use: reading what can be set needs no PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .consensus import segment

__all__ = ["segment"]


def __getattr__(name: str) -> Any:
    if name == "segment":
        from .consensus import segment

        return segment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
