"""Networks; needs torch alone."""
from kaizen_mm.models.mfnet import (MFNet, kaizen_mfnet2d, kaizen_mfnet2d_n9, kaizen_mfnet3d_n9,
                                    mfnet2d, mfnet2d_n9, mfnet3d, mfnet3d_n9)

__all__ = [
    'MFNet', 'kaizen_mfnet2d', 'kaizen_mfnet2d_n9', 'kaizen_mfnet3d_n9', 'mfnet2d', 'mfnet2d_n9', 'mfnet3d',
    'mfnet3d_n9'
]
