"""What the arguments of an MFNet must be."""

from typing import Any, Dict, Optional, Sequence, Tuple

from kaizen_mm.arguments import check_int, check_number, check_shape, is_int
from kaizen_mm.layers.adapters import adapter_arguments
from kaizen_mm.models.mf_unit import size


def check_description(dims, widths, units, groups, in_chans, drop_rate):
    """Raises ValueError where they describe no MFNet."""
    check_int('dims', dims, 2, 3)
    check_shape('widths', widths, 'one per stage', length=4)
    check_shape('units', units, 'one per stage', length=4)
    # the first group convolution of a stage has the stage's input channels
    if not (is_int(groups) and groups > 0) or any(c % groups for c in (16, *widths)) or any(w % 4 for w in widths):
        raise ValueError(
            f'groups must divide 16 (channels of the stem) and all widths, and 4 must divide '
            f'all widths; got groups={groups!r}, widths={tuple(widths)}'
        )
    check_int('in_chans', in_chans)
    check_number('drop_rate', drop_rate, 0, 1)


def check_adapter(adapter: Dict[str, Any], num_iterations: Optional[int], own: Sequence[str]) -> None:
    """Of the arguments that MFNet does not have itself, those of an adapter are left; ``own`` are those that it has."""
    known = adapter_arguments()
    unknown = sorted(set(adapter) - set(known))
    if unknown:
        raise TypeError(
            f'unknown arguments {unknown}; MFNet takes {", ".join(own)}, and with num_iterations {", ".join(known)}'
        )
    if adapter and num_iterations is None:
        raise ValueError(f'num_iterations must be given along with {sorted(adapter)}, got None')


def check_input_size(dims: int, input_size: Optional[Sequence[int]]) -> Tuple[int, ...]:
    """``(H, W)`` or ``(T, H, W)``, by default 224x224 with 16 frames; raises ValueError for anything else."""
    value = size(dims, 16, 224) if input_size is None else input_size
    if not isinstance(value, (tuple, list)) or len(value) != dims or not all(is_int(v) and v > 0 for v in value):
        raise ValueError(
            f'input_size must be {dims} positive ints, {"(H, W)" if dims == 2 else "(T, H, W)"}, got {input_size!r}'
        )
    return tuple(value)
