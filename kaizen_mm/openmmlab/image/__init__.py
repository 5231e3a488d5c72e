"""Registry classes for mmpretrain."""
