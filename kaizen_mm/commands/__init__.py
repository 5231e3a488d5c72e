"""What ``kaizen-train``, ``kaizen-predict``, ... and the scripts in ``tools/`` run: a module each, with ``main``.

A module reads its arguments with the standard library alone, and imports what does the work once they are right.
``python -m kaizen_mm`` lists them.
"""
