"""The two phases, what a work folder remembers of its training, and the hooks of both."""

from kaizen_mm.openmmlab.training import data_hooks, divergence, hooks, phase_one, saving  # noqa: F401
