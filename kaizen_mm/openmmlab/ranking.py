"""How many classes score above the true one."""
from torch import Tensor


def rank_of_label(scores: Tensor, label: int) -> Tensor:
    """Number of classes before the true one in order of score, ``[..., C] -> [...]``; ties go to the
    lower class."""
    true = scores[..., label:label + 1]
    return (scores > true).sum(dim=-1) + (scores[..., :label] == true).sum(dim=-1)
