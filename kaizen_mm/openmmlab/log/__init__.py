"""What a training shows of its iterates: on the terminal, in files, in TensorBoard and Weights & Biases."""

from kaizen_mm.openmmlab.log import log_processor, progress, tidy_log, visualization  # noqa: F401
