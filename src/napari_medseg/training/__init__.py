"""Headless training: data, losses, augmentation and the loop."""
