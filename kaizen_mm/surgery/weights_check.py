"""Whether the weights of a checkpoint are those of a network, told before anything of them is loaded."""

from typing import Dict, List, Mapping, NamedTuple, Optional

from torch import Tensor, nn

from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.models.convert import without_prefix


class WeightsDifference(NamedTuple):
    """How a state dict differs from a network's.

    ``missing``: names of tensors that it lacks; ``shapes``: by name, the other shape that it has and the network's, or
    the types of numbers where one of them is complex;
    ``adapters``: names of ``h`` that it lacks; ``unknown``: names that the network lacks. Norm statistics of later
    iterates are in none of them.
    """

    missing: List[str]
    shapes: Dict[str, tuple]
    adapters: List[str]
    unknown: List[str]

    def __str__(self) -> str:
        shapes = [f'{name} {theirs} for {ours}' for name, (theirs, ours) in self.shapes.items()]
        return (
            f'{len(self.missing)} tensors are missing {self.missing[:3]}, {len(shapes)} have another shape {shapes[:3]}'
        )


def weights_difference(network: nn.Module, state_dict: Mapping[str, Tensor]) -> WeightsDifference:
    """Compares a state dict, with or without ``module.`` before its names, with a network's."""
    loaded = without_prefix(state_dict)
    # names of modules have the wrappers that state dicts leave out
    h = tuple(f'{name}.adapter.'.replace('wrapped.', '') for name, _ in recurrent_blocks(network))
    own = network.state_dict()
    missing, adapters = [], []
    shapes: Dict[str, tuple] = {}
    for key, value in own.items():
        statistics = _is_statistic(key)
        if key not in loaded:
            if key.startswith(h):
                adapters.append(key)
            elif not statistics:
                missing.append(key)
        elif loaded[key].is_complex() != value.is_complex():  # loading would drop the imaginary part
            shapes[key] = (loaded[key].dtype, value.dtype)
        elif loaded[key].shape != value.shape and not statistics:
            shapes[key] = (tuple(loaded[key].shape), tuple(value.shape))
    return WeightsDifference(
        missing, shapes, adapters, [key for key in loaded if key not in own and not _is_statistic(key)]
    )


def _is_statistic(key):
    return '.iterates.' in key or key.endswith('num_batches_tracked')


def num_iterations(network: nn.Module) -> int:
    """``K`` of the last recurrent block of a network; 1 where there is none."""
    blocks = recurrent_blocks(network)
    return blocks[-1][1].num_iterations if blocks else 1


def trained_iterations(state_dict: Mapping[str, Tensor], meta: Mapping = {}) -> Optional[int]:
    """``K`` of the training that a checkpoint comes from; None where it does not tell.

    Args:
        state_dict: Its weights. Norm statistics of later iterates tell, and a network without ``h`` has one.
        meta: What the checkpoint says of itself; ``num_iterations`` tells.
    """
    if isinstance(meta.get('num_iterations'), int):
        return meta['num_iterations']
    rows = [len(value) for key, value in state_dict.items() if key.endswith('.iterates.running_mean')]
    if rows:
        return 1 + max(rows)
    return None if any('.adapter.' in key for key in state_dict) else 1


def check_trained_weights(
    network: nn.Module, state_dict: Mapping[str, Tensor], meta: Mapping = {}, source: str = 'the checkpoint'
) -> None:
    """Raises ValueError unless the weights are those of a training of this very network, ``h`` and ``K`` included.

    Args:
        network: The network, of evaluation.
        state_dict: The weights.
        meta: See :func:`trained_iterations`.
        source: What the error calls the weights.
    """
    difference = weights_difference(network, state_dict)
    ours, theirs = num_iterations(network), trained_iterations(state_dict, meta)
    of_adapters = [key for key in difference.unknown if '.adapter.' in key]
    if difference.missing or difference.shapes or (difference.unknown and not of_adapters):
        raise ValueError(
            f'{source} is of another network: {difference}, {len(difference.unknown)} are unknown '
            f'{difference.unknown[:3]}; give the config, and the number of classes, that it was trained with'
        )
    if (theirs is not None and theirs != ours) or difference.adapters or of_adapters:
        known = 'another number of' if theirs is None else theirs
        raise ValueError(
            f'{source} was trained with {known} iteration{"" if theirs == 1 else "s"}, but the network has '
            f'num_iterations={ours}; they must be the same'
        )
