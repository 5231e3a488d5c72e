"""Data sets: the embedded moving digits, and annotation lists for real ones."""
