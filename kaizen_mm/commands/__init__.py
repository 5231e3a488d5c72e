"""What ``kaizen-train``, ``kaizen-predict``, ... and the scripts in ``tools/`` run: a module each, with ``main``."""

from kaizen_mm.extras import naming_extras

with naming_extras():  # the commands are built on OpenMMLab, which comes with the images' part and with the videos'
    import matplotlib  # noqa: F401
    import mmengine  # noqa: F401
    import rich  # noqa: F401
