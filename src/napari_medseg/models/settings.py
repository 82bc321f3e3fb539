"""What can be said of a checkpoint that is imported; light, so that help is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..options import option


@dataclass(frozen=True)
class ImportSettings:
    """What the tensors of a checkpoint do not determine.

    Parameters
    ----------
    architecture : str
        Of the network; empty for a model of our own with its card next to it.
    classes : tuple of str
        Names of the classes in the order of the logit maps, without the background; empty: ``class 1`` and so on.
    task, modality, licence : str
        For the card.
    spacing_mm : (float, float) or None
        Smallest and largest in-plane pixel size the model was trained for, for the card.
    mode : {"reference", "corrected"} or None
        Swin: with the defects of the published code or without; None believes the file.
    attention_size : int or None
        LSTM pair: what the published scale of the attention is made of; None takes the published one.
    """

    architecture: str = option(
        "",
        "litenext, sa-lstm, lstm-sa, swin-unet, conditional-swin-iterative, conditional-swin-light or mt-unet; "
        "not needed for a model with its card next to it",
        metavar="A",
    )
    classes: tuple[str, ...] = option(
        (),
        "name of a class; once per class, in the order of the network, without the background",
        flag="--class",
        metavar="NAME",
    )
    task: str = option("", "for the card", metavar="TEXT")
    modality: str = option("", "for the card", metavar="TEXT")
    licence: str = option("", "for the card", metavar="TEXT")
    spacing_mm: tuple[float, float] | None = option(
        None,
        "pixel sizes in mm that the model was trained for; a warning is given for others",
        flag="--spacing",
        metavar=("LOW", "HIGH"),
    )
    mode: str | None = option(
        None,
        "Swin: with the defects of the published code, or without (default: as the file says)",
        choices=("reference", "corrected"),
    )
    attention_size: int | None = option(
        None,
        "lstm-sa and sa-lstm: scale of the attention (default: the published 7744)",
        metavar="N",
        smallest=0,
    )

    @property
    def options(self) -> dict[str, Any]:
        """Options of the network that are set."""
        given = {"mode": self.mode, "attention_size": self.attention_size}
        return {name: value for name, value in given.items() if value is not None}
