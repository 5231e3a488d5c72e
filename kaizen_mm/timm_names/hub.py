"""Folders in Hugging Face's format, of networks of timm that were made recurrent too.

timm writes such a folder (``timm.models.save_for_hf``) and reads it (``timm.create_model('local-dir:FOLDER')``, or
``hf-hub:NAME`` from the hub). Its ``config.json`` has the network's name and arguments. That of a
:class:`~kaizen_mm.surgery.RecurrentNetwork` has the name ``kaizen_recurrent``, registered here. Its arguments are the
network's own and what it was made recurrent with, so that whoever gets the folder needs one call.
"""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, Optional, Sequence, Union

import timm
import torch
from timm.models import load_pretrained, register_model, resolve_pretrained_cfg
from torch import nn

from kaizen_mm.layers.adapters import adapter_kind
from kaizen_mm.layers.evaluation import evaluation
from kaizen_mm.surgery.network import RecurrentNetwork
from kaizen_mm.timm_names.pretrained import verify_pretrained

NAME = 'kaizen_recurrent'
CONFIG = 'config.json'
WEIGHTS = ('model.safetensors', 'pytorch_model.bin')  # as timm calls them


@register_model
def kaizen_recurrent(
    pretrained: bool = False,
    network: Optional[str] = None,
    recurrence: Optional[Dict[str, Any]] = None,
    input_shape: Optional[Sequence[int]] = None,
    num_iterations: int = 3,
    pretrained_cfg=None,
    pretrained_cfg_overlay: Optional[dict] = None,
    cache_dir=None,
    **kwargs,
) -> RecurrentNetwork:
    """A network of timm made recurrent, as a folder in Hugging Face's format describes it.

    Args:
        network: Its name in timm.
        recurrence: Arguments of :class:`~kaizen_mm.surgery.RecurrentNetwork`.
        input_shape: Of the input that it is made for, without the batch.
        num_iterations: ``K``. Default 3.
        kwargs: Further arguments of the network.
    """
    given = dict(network=network, recurrence=recurrence, input_shape=input_shape)
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise ValueError(
            f'{NAME} must be given {", ".join(missing)}: it is the name of networks in folders that '
            'kaizen_mm.save_for_hf writes, and kaizen_mm.load_from_hf reads'
        )
    cfg = resolve_pretrained_cfg(NAME, pretrained_cfg, pretrained_cfg_overlay)
    if pretrained:
        verify_pretrained(cfg)
    kwargs.pop('pretrained_model_args', None)
    kwargs.setdefault('num_classes', cfg.num_classes)
    plain = timm.create_model(network, **kwargs)
    options = dict(recurrence, num_iterations=num_iterations)
    x = torch.randn(1, *input_shape, generator=torch.Generator().manual_seed(0))
    made = RecurrentNetwork(plain, options.pop('block'), x, **options)
    made.pretrained_cfg = made.default_cfg = cfg.to_dict()
    if pretrained:
        load_pretrained(
            made,
            pretrained_cfg=made.pretrained_cfg,
            num_classes=made.num_classes,
            in_chans=kwargs.get('in_chans', input_shape[0]),
            cache_dir=cache_dir,
        )
    return made


def hf_arguments(network: nn.Module, **model_args) -> Dict[str, Any]:
    """What timm's ``save_for_hf`` and ``push_to_hf_hub`` are to be given of a network.

    Args:
        network: A :class:`~kaizen_mm.surgery.RecurrentNetwork` of a network of timm, or any of timm's names of ours.
        model_args: Further arguments that the network was created with, where timm does not know them, as releases
            before 1.0.30 do not: ``img_size=64``.

    Returns:
        ``model_config`` and ``model_args``.

    Raises:
        ValueError: A network that is none of timm's, or one that was not made recurrent with a tensor.
    """
    of_its_own = network.__dict__.get('pretrained_cfg', {}).get('architecture', NAME) != NAME
    if not isinstance(network, RecurrentNetwork) or of_its_own:
        if not isinstance(getattr(network, 'pretrained_cfg', None), dict):
            raise ValueError(f'network must be one of timm, got {type(network).__name__}, which has no pretrained_cfg')
        return dict(model_config={}, model_args=model_args)
    name = getattr(network.wrapped, 'pretrained_cfg', {}).get('architecture')
    if name is None:
        raise ValueError(f'network must be of a network of timm, got one of {type(network.wrapped).__name__}')
    if network.made_for is None:
        raise ValueError('network must have been made recurrent with one tensor as its example_input')
    recurrence = {key: value for key, value in network.made_with.items() if key != 'num_iterations'}
    try:
        json.dumps(recurrence)
    except TypeError as error:
        raise ValueError(f'network: {CONFIG} cannot hold what it was made recurrent with, {recurrence}') from error
    own = dict(network=name, recurrence=recurrence, input_shape=list(network.made_for[1:]))
    own['num_iterations'] = network.num_iterations
    return dict(model_config=dict(architecture=NAME), model_args={**model_args, **own})


def save_for_hf(
    network: nn.Module,
    folder: Union[str, Path],
    model_config: Optional[dict] = None,
    model_args: Optional[dict] = None,
    safe_serialization: Union[bool, str] = True,
) -> None:
    """Writes a folder that :func:`load_from_hf`, timm and the hub take.

    It is written beside its place and read again, so that ``folder`` has a network that loads, or what it had before.

    Args:
        network, model_args: As of :func:`hf_arguments`.
        folder: Is made where it is missing; files of the same names in it are replaced.
        model_config: Further entries of ``config.json``, such as ``label_names``.
        safe_serialization: As of ``timm.models.save_for_hf``: True (default) for safetensors, False for a pickle,
            ``'both'``.

    Raises:
        ValueError: See :func:`hf_arguments`; or what was written does not give the same network, as where
            ``model_args`` lacks an argument.
    """
    folder, arguments = Path(folder), hf_arguments(network, **(model_args or {}))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f'.{folder.name}.', dir=folder.parent) as temporary:
        timm.models.save_for_hf(
            network,
            temporary,
            model_config={**(model_config or {}), **arguments['model_config']},
            model_args=arguments['model_args'],
            safe_serialization=safe_serialization,
        )
        if arguments['model_config']:
            _describe_input(Path(temporary, CONFIG), network)
        _compare(network, temporary)
        folder.mkdir(exist_ok=True)
        for name in (*WEIGHTS, CONFIG):
            if Path(temporary, name).exists():
                os.replace(Path(temporary, name), folder / name)


def load_from_hf(folder: Union[str, Path], **kwargs) -> nn.Module:
    """The network of a folder in Hugging Face's format, with its weights.

    Args:
        folder: Written by :func:`save_for_hf` or by timm's, or a copy of a repository of the hub.
        kwargs: Arguments of the network in place of the folder's, such as ``num_classes``.

    Raises:
        FileNotFoundError: There is no such folder, or it lacks ``config.json`` or weights.
        ValueError: A file is damaged; the config names no network that is known, or weights of another one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'no folder {folder}')
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f'{folder} has no {CONFIG}, which tells what network its weights are of')
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise FileNotFoundError(f'{folder} has no weights, neither {" nor ".join(WEIGHTS)}')
    try:
        config = json.loads((folder / CONFIG).read_text(encoding='utf-8'))
        name = config.get('architecture') or config['pretrained_cfg']['architecture']
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{folder / CONFIG} is damaged, or names no architecture: {error!r}') from error
    if not timm.is_model(name):
        raise ValueError(f'{folder / CONFIG}: timm {timm.__version__} and kaizen_mm know no network {name!r}')
    try:
        return timm.create_model(f'local-dir:{folder}', pretrained=True, **kwargs)
    except (ValueError, FileNotFoundError):
        raise
    except Exception as error:  # torch's and safetensors', each of a type of its own
        raise ValueError(f'{folder} cannot be loaded: {type(error).__name__}: {error}') from error


def _describe_input(path: Path, network: RecurrentNetwork) -> None:
    """Puts the size that a network was made for into its config, where timm had that of its source."""
    config = json.loads(path.read_text(encoding='utf-8'))
    fixed = not adapter_kind(network.made_with.get('adapter', 'paper')).any_size
    config['pretrained_cfg'].update(input_size=list(network.made_for[1:]))
    config['pretrained_cfg']['fixed_input_size'] = fixed or bool(config['pretrained_cfg'].get('fixed_input_size'))
    path.write_text(json.dumps(config, indent=2), encoding='utf-8')


def _compare(network: nn.Module, folder: str) -> None:
    hint = 'model_args must have all arguments that the network was created with, such as img_size'
    try:
        again = load_from_hf(folder)
    except Exception as error:
        raise ValueError(f'network: what was written does not load; {hint}. {error}') from error
    ours, theirs = network.state_dict(), again.state_dict()
    differ = [name for name in {**ours, **theirs} if name not in ours or name not in theirs]
    differ += [
        name
        for name in ours.keys() & theirs.keys()
        if not torch.allclose(ours[name].cpu(), theirs[name].to(ours[name].dtype), rtol=0, atol=0, equal_nan=True)
    ]
    if differ:
        raise ValueError(f'network: what was written differs in {", ".join(differ[:5])}; {hint}')
    if isinstance(network, RecurrentNetwork) and network.made_for is not None:
        like = next(network.parameters())
        x = torch.randn(1, *network.made_for[1:]).to(like.device, like.dtype)
        with evaluation(network), evaluation(again):
            pairs = zip(network.forward_iterates(x), again.to(like.device, like.dtype).forward_iterates(x))
            if not all(torch.allclose(a, b, rtol=1e-3, atol=1e-5 * float(a.abs().max())) for a, b in pairs):
                raise ValueError(f'network: what was written gives other scores; {hint}')
