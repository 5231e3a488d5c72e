"""Faults on purpose: what each of them is expected to do, tried in a process of its own.

``make faults`` tries all of them and prints a table; a small part of them runs with the tests.
"""
