"""What PyTorch leaves open to a type checker: of which kind the modules of a list are, or a network is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, overload, runtime_checkable

import torch
from torch import nn

from ..errors import ModelError

Kind = TypeVar("Kind")
Part = TypeVar("Part", bound=nn.Module)


@runtime_checkable
class ContextNetwork(Protocol):
    """A network that sees a slice together with the slices before and after it, such as `LSTMSA`."""

    def encode(self, images: torch.Tensor) -> list[torch.Tensor]:
        """What `fuse` needs of slices (b, c, y, x)."""

    def fuse(
        self, previous: list[torch.Tensor], current: list[torch.Tensor], following: list[torch.Tensor]
    ) -> torch.Tensor:
        """Logits (b, maps, y, x) from what `encode` made of three slices."""


class Modules(nn.ModuleList, Generic[Part]):
    """`torch.nn.ModuleList` of modules of one kind."""

    if TYPE_CHECKING:

        def __init__(self, modules: Iterable[Part]): ...

        def __iter__(self) -> Iterator[Part]: ...

        @overload
        def __getitem__(self, idx: slice) -> Modules[Part]: ...

        @overload
        def __getitem__(self, idx: int) -> Part: ...

        def __getitem__(self, idx: int | slice) -> Part | Modules[Part]: ...


def require(network: nn.Module, kind: type[Kind]) -> Kind:
    """`network`, which must be of the class `kind`, or offer what that protocol asks for.

    Raises
    ------
    ModelError
        If it is not.
    """
    if not isinstance(network, kind):
        raise ModelError(
            f"The network is a {type(network).__name__}; expected a {kind.__name__}. Choose another model."
        )
    return network
