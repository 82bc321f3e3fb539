"""The Fine-tune dock."""

from .dock import FineTuneWidget

__all__ = ["FineTuneWidget"]
