"""Weights by name, wherever OpenMMLab takes the name of a checkpoint: ``kaizen_mm::NAME`` of those that the package
brings, ``timm::NAME`` of timm's."""

from importlib import import_module

from mmengine.runner.checkpoint import CheckpointLoader

from kaizen_mm.extras import naming_extras
from kaizen_mm.weights import PREFIX, read_weights


@CheckpointLoader.register_scheme(prefixes=PREFIX)
def load_weights(filename: str, map_location=None, logger=None) -> dict:
    """A checkpoint of the weights of that name, see :func:`kaizen_mm.weights.read_weights`."""
    return read_weights(filename).checkpoint(map_location or 'cpu')


TIMM = 'timm::'


@CheckpointLoader.register_scheme(prefixes=TIMM)
def load_timm_weights(filename: str, map_location=None, logger=None) -> dict:
    """The pretrained weights of timm's network of that name, under its own names; timm downloads and keeps them.

    Raises:
        ValueError: timm has no network of that name with weights, or they are not at hand and cannot be downloaded.
    """
    with naming_extras():
        timm = import_module('timm')  # for these names alone: this room works without it
    name = filename.removeprefix(TIMM)
    try:
        network = timm.create_model(name, pretrained=True)
    except Exception as error:  # of timm, of the Hugging Face hub and of the network, of many types
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f'load_from {filename}: timm could not give these weights ({reason}). Give a network of '
            'timm.list_pretrained(), or the file of the weights in place of the name'
        ) from error
    return dict(state_dict={key: value.to(map_location or 'cpu') for key, value in network.state_dict().items()})
