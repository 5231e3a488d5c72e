"""What large trainings would take: rates of loading that were measured, rates of GPUs that are assumed."""

import dataclasses
from collections.abc import Sequence

from .records import Row, markdown, number

UCF101_TRAIN = 9_537  # videos of split 1
GPU_CLIPS = (50, 200, 800)  # clips a second that one GPU trains on: assumed
GPU_RATES = (1e12, 5e12, 20e12)  # multiply-adds a second that a GPU reaches in training: assumed


def _rate(rows: Sequence[Row], kind: str, source: str, reader: str, stage: str = 'to 224 px') -> float | None:
    return next(
        (
            row['per_second_and_core']
            for row in rows
            if row['kind'] == kind
            and row['source'].startswith(source)
            and row['reader'] == reader
            and row['stage'] == stage
        ),
        None,
    )


def cores_for_gpus(rows: Sequence[Row]) -> list[str]:
    """Core-seconds of loading in an epoch of UCF101, and the cores that keep a GPU busy at several rates of its own."""
    found = [row for row in rows if row['kind'] == 'clips' and row['stage'] == 'to 224 px']
    return markdown(
        [
            ('videos', lambda row: row['source']),
            ('reader', lambda row: row['reader']),
            ('clips a second and core', lambda row: number(row['per_second_and_core'])),
            ('core-seconds an epoch of UCF101', lambda row: number(UCF101_TRAIN / row['per_second_and_core'])),
            *((f'cores a GPU at {rate} clips a second (assumed)', _cores(rate)) for rate in GPU_CLIPS),
        ],
        found,
    )


def _cores(rate: float):
    return lambda row: number(rate / row['per_second_and_core'])


def cluster(rows: Sequence[Row]) -> list[str]:
    """What 8 and 64 GPUs want at two assumed rates: cores of loading, and bytes read where whole files are."""
    original = {
        row['reader']: row
        for row in rows
        if row['kind'] == 'clips' and row['stage'] == 'to 224 px' and row['source'] == 'originals'
    }
    lines = [dict(gpus=gpus, rate=rate, clips=gpus * rate) for gpus in (8, 64) for rate in GPU_CLIPS[1:]]
    return markdown(
        [
            ('GPUs', lambda row: str(row['gpus'])),
            ('clips a second and GPU (assumed)', lambda row: str(row['rate'])),
            ('clips a second', lambda row: f'{row["clips"]:,}'),
            *(
                (f'cores, {reader}', lambda row, one=one: number(row['clips'] / one['per_second_and_core']))
                for reader, one in original.items()
                if reader != 'torchcodec'
            ),
            ('GB read a second', lambda row: number(row['clips'] * original['decord']['mib_per_video'] * 2**20 / 1e9)),
            ('steps an epoch of UCF101, 8 clips a GPU', lambda row: number(UCF101_TRAIN / (8 * row['gpus']))),
        ],
        lines,
    )


@dataclasses.dataclass(frozen=True)
class Training:
    """A training: ``samples`` an epoch, 10^9 multiply-adds of a sample forward, and what its loading is measured by."""

    title: str
    samples: int
    epochs: int
    giga: float
    kind: str
    source: str
    readers: Sequence[str]


TRAININGS: Sequence[Training] = (
    Training('UCF101, mfnet3d_n9, 200 + 60 epochs', UCF101_TRAIN, 260, 1.33, 'clips', 'originals', ('decord', 'pyav')),
    Training('ImageNet, mfnet2d, 100 + 20 epochs', 1_281_167, 120, 0.86, 'photos', 'JPEG', ('cv2',)),
    Training(
        'Kinetics-400, mfnet3d, 100 + 20 epochs', 246_245, 120, 11.05, 'clips', '--short-side 256', ('decord', 'pyav')
    ),
)


def plan(rows: Sequence[Row]) -> list[str]:
    """Samples, multiply-adds, hours of a GPU at assumed rates, and hours of a core for loading at the measured one."""
    lines = [
        dict(training=training, reader=reader, rate=_rate(rows, training.kind, training.source, reader))
        for training in TRAININGS
        for reader in training.readers
    ]
    return markdown(
        [
            ('training', lambda row: row['training'].title),
            ('samples', lambda row: f'{_samples(row["training"]):.2g}'),
            ('multiply-adds', lambda row: f'{_work(row["training"]):.1e}'),
            *((f'GPU hours at {rate / 1e12:.0f} x 10^12 a second (assumed)', _gpu_hours(rate)) for rate in GPU_RATES),
            ('reader', lambda row: row['reader']),
            ('loaded a second and core (measured)', lambda row: number(row['rate'])),
            ('core hours of loading', lambda row: number(_loading(row)) if row['rate'] else '-'),
            (
                f'cores a GPU that runs at {GPU_RATES[1] / 1e12:.0f} x 10^12',
                lambda row: (
                    number(_loading(row) / (_work(row['training']) / GPU_RATES[1] / 3600)) if row['rate'] else '-'
                ),
            ),
        ],
        [line for line in lines if line['rate']],
    )


def _samples(training: Training) -> int:
    return training.samples * training.epochs


def _work(training: Training) -> float:
    """Multiply-adds: a step of training takes about three times the forward pass."""
    return 3e9 * training.giga * _samples(training)


def _gpu_hours(rate: float):
    return lambda row: number(_work(row['training']) / rate / 3600)


def _loading(row) -> float:
    return _samples(row['training']) / row['rate'] / 3600
