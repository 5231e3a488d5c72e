"""Any network some of whose layers have weights that ``h`` rewrites in one pass, from each layer's own input."""

from typing import Any, Mapping, Sequence, Tuple, Union

from torch import Tensor, nn

from kaizen_mm.layers.dynamic_conv import dynamic_kind
from kaizen_mm.layers.evaluation import evaluation
from kaizen_mm.layers.input_adapted import InputAdaptedLayer
from kaizen_mm.layers.recurrent_block import dynamic_names, nearest
from kaizen_mm.layers.transparent import DelegatingWrapper
from kaizen_mm.surgery.inputs import arguments
from kaizen_mm.surgery.replay import CallRecord


class InputAdaptedNetwork(DelegatingWrapper):
    """A network with :class:`~kaizen_mm.layers.input_adapted.InputAdaptedLayer` in the places of some of its layers.

    The state dict has the names of the network, with those of the adapters added. The network is changed in place, or
    left as it was where an argument cannot be used; it is run once on ``example_input``, in evaluation mode and without
    gradients, to learn what the layers get.

    Args:
        network: Any network.
        dynamic: Names of the layers, each of which runs once in a forward pass.
        example_input: Input of the network, a sequence of its positional or a mapping of its keyword arguments.
        adapter: Options of :func:`~kaizen_mm.layers.adapters.build_adapter`.

    Shape:
        That of the network.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
        TypeError: A layer that is no convolution or linear layer, or an unknown argument.
    """

    def __init__(
        self,
        network: nn.Module,
        dynamic: Union[str, Sequence[str]],
        example_input: Union[Tensor, Sequence, Mapping],
        **adapter,
    ):
        super().__init__(network)
        args, kwargs = arguments(example_input)
        names = dynamic_names(dynamic, 'the network')
        known = dict(network.named_modules())
        for name in names:
            if name not in known or not name:
                raise ValueError(f'dynamic: {type(network).__name__} has no submodule {name!r}; {nearest(name, known)}')
            dynamic_kind(known[name], f'dynamic layer {name!r}')
        record = CallRecord(network, set(names))
        with record.recording(), evaluation(network):
            network(*args, **kwargs)
        shapes = {name: _input_shape(name, record.calls[name], adapter) for name in names}
        kinds = {name: type(known[name]) for name in names}
        try:
            layers = {name: InputAdaptedLayer(known[name], shapes[name], name, **adapter) for name in names}
        except Exception:
            for name, kind in kinds.items():
                known[name].__class__ = kind
            raise
        for name, layer in layers.items():
            layer.training = known[name].training
            network.set_submodule(name, layer)

    def forward(self, *args, **kwargs) -> Any:
        return self.wrapped(*args, **kwargs)


def _input_shape(name: str, calls: list, adapter: dict) -> Tuple[int, ...]:
    """The shape ``(C, *spatial)`` of one sample of what a layer gets; raises what is wrong with its calls."""
    if len(calls) != 1:
        raise ValueError(f'dynamic: {name!r} must run once in a forward pass, it runs {len(calls)} times')
    given = calls[0][0]
    if not given or not isinstance(given[0], Tensor):
        raise ValueError(
            f'dynamic: {name!r} must get a tensor as its first positional argument, it gets '
            f'{[type(value).__name__ for value in given]}'
        )
    last = adapter.get('feedback_layout') == 'channels_last'
    return tuple((given[0].movedim(-1, 1) if last else given[0]).shape[1:])
