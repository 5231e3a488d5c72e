"""Tables of docs/when_it_helps_in_full.md: the recurrence and other ways to tell each position of the others."""

from kaizen_mm.lab.study_tables import CLIPS, PHOTOS, STUDY_TABLES, beside_static, scan
from kaizen_mm.lab.table import Table

_PHOTO, _PHOTO_K2 = 'bagnet_cifar10', 'kaizen_bagnet_cifar10_k2_paper'
_ATTENTION, _ATTENTION_K2 = 'bagnet_cifar10_attention', 'kaizen_bagnet_cifar10_k2_attention'
_CLIP, _CLIP_ATTENTION = 'bagnet3d_moving_camera', 'bagnet3d_moving_camera_attention'
_CLIP_ATTENTION_K2 = 'kaizen_bagnet3d_moving_camera_k2_attention'
_RATE1, _RATE2 = ({'optim_wrapper.optimizer.lr': rate} for rate in (0.1, 0.2))


def _attention(width: int, size: tuple = (8, 8), block: int = 2) -> dict:
    module = dict(type='PositionAttention', channels=32, size=size, width=width)
    return {'model.backbone.backbone.contexts': [*[None] * (block - 1), module]}


def _each_rate(rows: dict) -> dict:
    """``NAME_rate1`` and ``NAME_rate2`` of each row."""
    return {
        f'{row}_{rate}': (config, {**own, **value})
        for row, (config, own) in rows.items()
        for rate, value in (('rate1', _RATE1), ('rate2', _RATE2))
    }


def _rates(title: str, control: str, rows: dict) -> Table:
    controls = {f'{row}_rate2': f'{row}_rate1' for row in rows}
    return scan(title, control, _each_rate(rows))._replace(control=control, controls=controls)


def _adapter(adapter: str, **options) -> dict:
    options = dict(adapter=adapter, pool_kernel=None, pool_stride=1, alpha=None, **options)
    return {f'model.backbone.{key}': value for key, value in options.items()}


_ONE_PASS = 'bagnet_cifar10_one_pass'
# rivals of about as many parameters as the recurrent networks, of one pass
_RIVALS = {
    'squeeze_excitation': ('bagnet_cifar10_squeeze_excitation', {}),
    'one_pass_global': ('bagnet_cifar10_one_pass_global', {}),
}
# others: of one pass, and of feedback that moves no weights
_OTHER_RIVALS = {
    'global_context': ('bagnet_cifar10_global_context', {}),
    'depthwise': ('bagnet_cifar10_depthwise', {}),
    'one_pass': (_ONE_PASS, {}),
    'experts': (
        _ONE_PASS,
        {**_adapter('experts', experts=1), 'model.backbone.dynamic': ['block1.conv1', 'block2.conv1']},
    ),
    'film': ('kaizen_bagnet_cifar10_k2_film', {}),
}
# other mechanisms: h of slots, recurrent and in one pass, alone and on top of attention
_MECHANISMS = {
    'recurrent': (_PHOTO_K2, {}),
    'slots': (_PHOTO_K2, _adapter('slots', slots=8)),
    'slots_16': (_PHOTO_K2, _adapter('slots', slots=16)),
    'slots_one_pass': (_ONE_PASS, _adapter('slots', slots=6)),
    'recurrent_attention': (_ATTENTION_K2, {}),
    'slots_attention': (_ATTENTION_K2, _adapter('slots', slots=8)),
}

# a second pass on top of rivals of one pass, and a third one on top of attention; in the place of h for all layers the
# one-pass network has half of its layers told of their own input and the other half of the first pass
_SQUEEZES = [dict(type='timm.layers.SqueezeExcite', channels=32, rd_channels=14) for _ in (1, 2)]
_ON_RIVALS = {
    'squeeze_excitation': _RIVALS['squeeze_excitation'],
    'recurrent_squeeze_excitation': (_PHOTO_K2, {'model.backbone.backbone.contexts': _SQUEEZES}),
    'one_pass': _OTHER_RIVALS['one_pass'],
    'recurrent_one_pass': ('kaizen_bagnet_cifar10_k2_one_pass', {}),
    'attention': (_ATTENTION, {}),
    'recurrent_attention': (_ATTENTION_K2, {}),
    'recurrent_attention_k3': (_ATTENTION_K2, {'model.backbone.num_iterations': 3}),
}

# what is in the records of these tables is not trained again
_PHOTO_ROWS = {
    'static': (_PHOTO, {}),
    'multiply_adds': STUDY_TABLES['bagnet_cifar10_paper'].variants['multiply_adds'],
    'recurrent_global': ('kaizen_bagnet_cifar10_k2', {}),
    'recurrent': (_PHOTO_K2, {}),
}
_PHOTO_TAKEN = {
    **{row: ('bagnet_cifar10_paper', row) for row in _PHOTO_ROWS},
    'recurrent_global': ('bagnet_cifar10', 'recurrent'),
}
_CLIP_ROWS = STUDY_TABLES['bagnet3d_moving_camera'].variants
_CLIP_TAKEN = {row: ('bagnet3d_moving_camera', row) for row in _CLIP_ROWS}

RIVAL_TABLES = {
    'bagnet_cifar10_rates': scan(
        'BagNet with attention, CIFAR-10',
        'attention_rate1',
        {'attention_rate1': (_ATTENTION, _RATE1), 'attention_rate2': (_ATTENTION, _RATE2)},
    )._replace(control='attention_rate1'),
    'bagnet_cifar10_rival_rates': _rates(
        'BagNet and rivals of one pass, CIFAR-10', 'squeeze_excitation_rate1', _RIVALS
    ),
    'bagnet_cifar10_other_rival_rates': _rates('BagNet and other rivals, CIFAR-10', 'one_pass_rate1', _OTHER_RIVALS),
    'bagnet_cifar10_mechanisms': scan(
        'BagNet and kinds of h, CIFAR-10',
        'recurrent',
        {row: (config, {**options, **_RATE2}) for row, (config, options) in _MECHANISMS.items()},
    )._replace(control='recurrent', controls={'slots_attention': 'recurrent_attention'}),
    'bagnet_cifar10_on_rivals': scan(
        'BagNet, a second pass on top of rivals, CIFAR-10',
        'squeeze_excitation',
        {row: (config, {**options, **_RATE2}) for row, (config, options) in _ON_RIVALS.items()},
        taken={
            'squeeze_excitation': ('bagnet_cifar10_rival_rates', 'squeeze_excitation_rate2'),
            'one_pass': ('bagnet_cifar10_other_rival_rates', 'one_pass_rate2'),
            'attention': ('bagnet_cifar10_rates', 'attention_rate2'),
            'recurrent_attention': ('bagnet_cifar10_mechanisms', 'recurrent_attention'),
        },
    )._replace(
        control='squeeze_excitation',
        controls={
            'recurrent_one_pass': 'one_pass',
            'recurrent_attention': 'attention',
            'recurrent_attention_k3': 'recurrent_attention',
        },
    ),
    'bagnet3d_rates': beside_static(
        'BagNet-3D with attention, moving digits, clips held out for choices',
        'attention_rate1',
        _each_rate(
            {
                row: (config, {'test_dataloader.dataset.seed': 0})
                for row, config in (('attention', _CLIP_ATTENTION), ('recurrent_attention', _CLIP_ATTENTION_K2))
            }
        ),
        **CLIPS,
    )._replace(
        control='attention_rate1',
        controls={'recurrent_attention_rate2': 'recurrent_attention_rate1'},
    ),
    'bagnet_cifar10_attention': beside_static(
        'BagNet with attention, CIFAR-10',
        _PHOTO,
        {
            **_PHOTO_ROWS,
            'attention': (_ATTENTION, {}),
            'attention_parameters': (_ATTENTION, _attention(18)),
            'attention_multiply_adds': (_ATTENTION, _attention(40)),
            'recurrent_attention': (_ATTENTION_K2, {}),
        },
        controls={
            'attention': 'recurrent',
            'attention_parameters': 'attention',
            'attention_multiply_adds': 'attention',
            'recurrent_attention': 'attention_multiply_adds',
        },
        taken=_PHOTO_TAKEN,
        costs=True,
        **PHOTOS,
    ),
    'bagnet_cifar10_rivals': beside_static(
        'BagNet and squeeze-and-excitation, CIFAR-10',
        _PHOTO,
        {**_PHOTO_ROWS, 'squeeze_excitation': _RIVALS['squeeze_excitation']},
        controls={'squeeze_excitation': 'recurrent'},
        taken=_PHOTO_TAKEN,
        costs=True,
        **PHOTOS,
    ),
    'bagnet_cifar10_other_rivals': beside_static(
        'BagNet and other rivals, CIFAR-10',
        _PHOTO,
        {**_PHOTO_ROWS, 'one_pass_global': _RIVALS['one_pass_global'], **_OTHER_RIVALS},
        controls={**dict.fromkeys(_OTHER_RIVALS, 'recurrent'), 'one_pass_global': 'recurrent_global'},
        taken=_PHOTO_TAKEN,
        costs=True,
        **PHOTOS,
    ),
    'bagnet3d_attention': beside_static(
        'BagNet-3D with attention, moving digits seen by a moving camera',
        _CLIP,
        {
            **_CLIP_ROWS,
            'attention': (_CLIP_ATTENTION, {}),
            'attention_multiply_adds': (_CLIP_ATTENTION, _attention(119, (4, 8, 8), block=3)),
            'recurrent_attention': (_CLIP_ATTENTION_K2, {}),
        },
        controls={
            'attention': 'recurrent',
            'attention_multiply_adds': 'attention',
            'recurrent_attention': 'attention_multiply_adds',
        },
        taken=_CLIP_TAKEN,
        costs=True,
        **CLIPS,
    ),
}
