"""The parts that the package can be installed in: what is missing is told with the extra that brings it."""

from contextlib import contextmanager
from typing import Iterator

# by the module that is imported; several where each of them brings it
_EXTRAS = {
    'timm': ('timm',),
    'safetensors': ('timm',),
    'mmpretrain': ('image',),
    'mmaction': ('video',),
    'decord': ('video',),
    'av': ('image', 'video', 'timm'),
    'rich': ('image', 'video', 'timm'),
    **dict.fromkeys(['mmengine', 'mmcv', 'cv2'], ('image', 'video')),
    **dict.fromkeys(['matplotlib', 'sklearn', 'scipy', 'jinja2'], ('report', 'image', 'video')),
    **dict.fromkeys(['onnx', 'onnxruntime', 'onnxscript'], ('export',)),
}


class MissingPart(ModuleNotFoundError):
    """A package is missing that an extra of this one brings."""


@contextmanager
def naming_extras() -> Iterator[None]:
    """Imports in it that fail for want of a package say how to install it.

    Raises:
        MissingPart: A package is missing; the message names the extra.
    """
    try:
        yield
    except MissingPart:
        raise
    except ModuleNotFoundError as error:
        module = (error.name or '').partition('.')[0]
        if module not in _EXTRAS:
            raise
        extras = ' or '.join(f"'kaizen-mm[{extra}]'" for extra in _EXTRAS[module])
        raise MissingPart(
            f"{module} is not installed: pip install {extras}, or all parts with 'kaizen-mm[all]'", name=module
        ) from error
