"""What a trained network does on a test set, as one page of HTML."""

from kaizen_mm.extras import naming_extras

with naming_extras():
    from kaizen_mm.report.outcomes import Outcomes
    from kaizen_mm.report.page import render, write_report

__all__ = ['Outcomes', 'render', 'write_report']
