"""Keys of a dock: bound on the viewer while the dock is open, and never those that something else has bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from napari.utils.key_bindings import coerce_keybinding

if TYPE_CHECKING:
    from napari import Viewer


class Keys:
    """The keys that a dock has bound; those of the selected layer come first.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        self._bound: list[str] = []

    def bind(self, calls: Mapping[str, Callable[[], object]]) -> tuple[str, ...]:
        """Bind keys such as ``Shift-A``; those that something else has bound, as people write them, stay theirs."""
        others = []
        for key, call in calls.items():
            if coerce_keybinding(key) in self._viewer.keymap:
                others.append(key.replace("-", "+").replace("Control", "Ctrl"))
                continue
            self._viewer.bind_key(key, _key_function(call))
            self._bound.append(key)
        return tuple(others)

    def release(self) -> None:
        """Let go of all of them."""
        for key in self._bound:
            self._viewer.bind_key(key, None)
        self._bound.clear()


def _key_function(call: Callable[[], object]) -> Callable[[Any], None]:
    """What napari can bind: it asks for the name of a function."""

    def pressed(viewer: Any) -> None:
        call()

    return pressed
