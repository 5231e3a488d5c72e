"""The laboratory: the plug-in's networks trained side by side, tables measured, results drawn.

It is built on :mod:`kaizen_mm.openmmlab`, which knows nothing of it.
"""
