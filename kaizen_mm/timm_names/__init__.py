"""The networks under names of timm, which importing this registers."""

from kaizen_mm.extras import naming_extras

with naming_extras():
    from kaizen_mm.timm_names import bagnet, comparators, hub, mfnet

__all__ = ['bagnet', 'comparators', 'hub', 'mfnet']
