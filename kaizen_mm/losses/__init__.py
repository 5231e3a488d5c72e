"""Losses over the iterates of a recurrent network; needs torch alone."""

from kaizen_mm.losses.kaizen_loss import KaizenLoss

__all__ = ['KaizenLoss']
