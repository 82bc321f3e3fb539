"""The version, on the ground floor: records and reports name it without a way up to the package."""

__version__ = "0.1.0"
