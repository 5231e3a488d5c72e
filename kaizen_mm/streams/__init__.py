"""Networks on streams: frames and windows of whatever gives frames, with memory that does not grow; where scenes begin;
when fast weights are written, and for how long they are held.

    from kaizen_mm.streams import StreamRecognizer, windows

    for window in windows('long.mp4', length=16):
        window.frames  # uint8 [16, H, W, 3]

Needs torch alone, and PyAV where frames are read.
"""

import importlib

from kaizen_mm.streams.cuts import CutMeter
from kaizen_mm.streams.recognizer import StreamRecognizer, WindowScores

_READING = {
    **dict.fromkeys(('Event', 'Frame', 'FrameSource'), 'sources'),
    **dict.fromkeys(('Window', 'windows'), 'windowing'),
    **dict.fromkeys(('StreamPredictor', 'WindowPrediction'), 'prediction'),
}

__all__ = [
    'CutMeter',
    'Event',
    'Frame',
    'FrameSource',
    'StreamPredictor',
    'StreamRecognizer',
    'Window',
    'WindowPrediction',
    'WindowScores',
    'windows',
]


def __getattr__(name):
    """What reads frames, imported when it is asked for."""
    if name not in _READING:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_READING[name]}'), name)
