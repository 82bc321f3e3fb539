"""Weights of the bundled models, each with its card."""
