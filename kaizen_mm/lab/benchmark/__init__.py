"""Comparisons of speed and memory: the sides of each are equal, and are taken in turn in one run."""
