"""Predictions of files, per iterate."""

from kaizen_mm.extras import naming_extras

with naming_extras():
    from kaizen_mm.inference.prediction import Prediction, Predictor, Ranked, class_names

__all__ = ['Prediction', 'Predictor', 'Ranked', 'class_names']
