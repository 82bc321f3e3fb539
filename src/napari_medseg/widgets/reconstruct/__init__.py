"""The Reconstruct dock, with its Compare page."""
