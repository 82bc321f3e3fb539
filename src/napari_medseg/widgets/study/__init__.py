"""The Acceleration study dock."""
