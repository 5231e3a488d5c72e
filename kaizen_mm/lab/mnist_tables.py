"""The tables of MNIST: table 1 of the paper, and what was tried on held-out training images."""

from kaizen_mm.lab.measures import MEASURES
from kaizen_mm.lab.table import Table, few, lasting

_QUICK = {'train_dataloader.batch_size': 64, **few('max_images', 512, 200)}

# MNIST without its test images: a cheap h beside static networks of as many parameters, and trials of
# K = 4
_FIT = {
    'train_dataloader.dataset.split': 'fit',
    'val_dataloader.dataset.split': 'val',
    'test_dataloader.dataset.split': 'val',
}
_GLOBAL = {'model.backbone.adapter': 'global', 'model.backbone.hidden': 8, 'model.backbone.rank': 2}
_H_RATE = 'optim_wrapper.paramwise_cfg.custom_keys.adapter.lr_mult'
_PHASE_ONE_20, _PHASE_ONE_60 = lasting(20, 'phase_one.'), lasting(60, 'phase_one.')
_EMA = {  # in phase two alone
    'phase_one.custom_hooks': [],
    'custom_hooks': [dict(type='PhaseOneHook'), dict(type='EMAHook', momentum=0.002)],
}


def _units(channels: tuple, units: int) -> dict:
    return {**lasting(40), 'model.backbone.channels': channels, 'model.backbone.units': units}


_MNIST_CHEAP = {
    'control': ('mnist_control', _PHASE_ONE_20),
    'static_1314': ('mnist', _units((4, 4), 11)),
    'h8_r2_k2': ('kaizen_mnist_k2', {**_PHASE_ONE_20, **_GLOBAL, _H_RATE: 1.0}),
    'h8_r2_k2_rate10': ('kaizen_mnist_k2', {**_PHASE_ONE_20, **_GLOBAL}),
}
_MNIST_K4 = {
    'control': ('mnist_control', _PHASE_ONE_20),
    'k4': ('kaizen_mnist_k4', _PHASE_ONE_20),
    'k4_ema': ('kaizen_mnist_k4', {**_PHASE_ONE_20, **_EMA}),
    'k4_gammas_0.3': (
        'kaizen_mnist_k4',
        {**_PHASE_ONE_20, 'model.head.loss.gamma_first': 0.3, 'model.head.loss.gamma_others': 0.3},
    ),
    'k4_phase_two_50': ('kaizen_mnist_k4', {**_PHASE_ONE_20, **lasting(50)}),
}

# phase one three times as long, or both phases
_MNIST_K4_LONG = {
    'one_60': ('mnist_held_out', lasting(60)),
    'control': ('mnist_control', {**_PHASE_ONE_60, **lasting(60)}),
    'k4': ('kaizen_mnist_k4', {**_PHASE_ONE_60, **lasting(60)}),
    'control_phase_two_20': ('mnist_control', _PHASE_ONE_60),
    'k4_phase_two_20': ('kaizen_mnist_k4', _PHASE_ONE_60),
    'k4_phase_two_20_w1_trained': ('kaizen_mnist_k4', {**_PHASE_ONE_60, 'model.backbone.freeze_dynamic': False}),
}


# K = 4: cross entropy of the last iterate alone, the paper's weights, and weights that a hinge can be felt beside
def _loss(first: float, others: float, kaizen: float, hinge: str = 'batch') -> tuple:
    options = dict(gamma_first=first, gamma_others=others, kaizen_weight=kaizen, hinge=hinge)
    return 'kaizen_mnist_k4', {**_PHASE_ONE_20, **{f'model.head.loss.{key}': value for key, value in options.items()}}


_MNIST_LOSSES = {
    'control': _loss(0.0, 0.0, 0.0),
    'paper': _loss(3e-3, 1e-3, 0.1),
    'gammas': _loss(0.3, 0.3, 0.0),
    'gammas_hinge': _loss(0.3, 0.3, 1.0),
    'gammas_hinge_sample': _loss(0.3, 0.3, 1.0, 'sample'),
}


def _mnist_scan(variants: dict, phase_one: str = 'mnist_held_out', **others) -> Table:
    return Table(
        title='MNIST, the last 10,000 training images held out',
        phase_one=phase_one,
        rows=dict.fromkeys([phase_one, *variants]),
        measure=MEASURES['top1'],
        quick=_QUICK,
        control='control',
        variants={name: (config, {**options, **_FIT}) for name, (config, options) in variants.items()},
        **others,
    )


MNIST_TABLES = {
    'table1': Table(
        title='MNIST',
        phase_one='mnist',
        rows={
            'mnist': 96.50,
            'mnist_big': 98.07,
            'mnist_control': None,
            'recurrent_mnist_k2': 98.03,
            'recurrent_mnist_k3': 98.15,
            'recurrent_mnist_k4': 98.16,
            'kaizen_mnist_k2': 98.16,
            'kaizen_mnist_k3': 98.32,
            'kaizen_mnist_k4': 98.43,
        },
        measure=MEASURES['top1'],
        quick=_QUICK,
    ),
    'mnist_cheap': _mnist_scan(_MNIST_CHEAP, rival='static_1314'),
    'mnist_k4': _mnist_scan(_MNIST_K4),
    'mnist_losses': _mnist_scan(
        _MNIST_LOSSES, controls=dict.fromkeys(['gammas_hinge', 'gammas_hinge_sample'], 'gammas'), breaks=True
    ),
    'mnist_k4_long': _mnist_scan(
        _MNIST_K4_LONG,
        phase_one='one_60',
        controls=dict.fromkeys(['k4_phase_two_20', 'k4_phase_two_20_w1_trained'], 'control_phase_two_20'),
    ),
}
