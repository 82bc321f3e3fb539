"""What every dock is built on: the viewer itself, the layers that come and go, jobs, and an end without traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari import Viewer


def unwrapped(viewer: Viewer) -> Viewer:
    """The viewer itself; a widget that is opened from the menu is handed a proxy of it.

    Each layer that is read through the proxy is a new proxy, so that no layer would be identical to itself. The proxy
    is one of `wrapt`, and ``__wrapped__`` is what `wrapt` documents for getting at the object behind it.
    """
    return getattr(viewer, "__wrapped__", viewer)
