"""The table of ``tools/reproduce.py streams``: accuracy over the windows of streams, over several training seeds."""

import json
import statistics
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from mmengine.config import Config

from kaizen_mm.files import file_digest, write_lines
from kaizen_mm.lab import streams
from kaizen_mm.lab.measures import MEASURES
from kaizen_mm.lab.reproduce import Run, plan
from kaizen_mm.lab.table import Table, few
from kaizen_mm.openmmlab.training.record import finished_checkpoint
from kaizen_mm.uncertainty import standard_error

STATIC, RECURRENT = 'bagnet3d_moving_camera', 'kaizen_bagnet3d_moving_camera_k2'
CHAIN, STATIC_CHAIN = 'kaizen_bagnet3d_moving_camera_k2_chain', 'bagnet3d_moving_camera_chain'
# what the networks of a table's rows are, by the names of kaizen_mm.lab.streams.ways
NETWORKS = {
    STATIC: 'static',
    RECURRENT: 'recurrent',
    'bagnet3d_moving_camera_attention': 'attention',
    'kaizen_bagnet3d_moving_camera_k2_attention': 'recurrent_attention',
    CHAIN: 'chain',
    STATIC_CHAIN: 'static_chain',
}
# what is trained on, on chains of windows, and which row it starts from
STARTS = {CHAIN: RECURRENT, STATIC_CHAIN: STATIC}
# of seed 0 the package brings the weights: that is not trained again
BROUGHT = {STATIC: 'kaizen_mm::bagnet3d_moving_camera', RECURRENT: 'kaizen_mm::kaizen_bagnet3d_moving_camera'}
TRAININGS = Table(
    title='streams of moving digits seen by a moving camera',
    phase_one=STATIC,
    rows=dict.fromkeys(NETWORKS),
    variants={STATIC_CHAIN: (CHAIN, {'model.backbone.num_iterations': 1})},
    measure=MEASURES['video_top1'],
    quick=few('max_clips', 64, 32),
)
_QUICK_CHAIN = {'train_dataloader.dataset.dataset.num_train': 64}
WINDOWS = (12,)  # of 16 frames: 192 frames, of which the first half is a stream of 96
STREAMS = 400  # that are drawn, of which 300 are of classes that a window tells
QUICK = dict(windows=(4,), clips=16)


def stages(configs: Path, folder: Path, seeds: Sequence[int], quick: bool = False) -> List[List[Run]]:
    """The trainings: those that need no other, and those on chains, which start from one of them."""
    planned, _ = plan(TRAININGS, configs, folder, seeds, quick)
    first, chains = [], []
    for run in planned:
        if run.row not in STARTS:
            if not _is_brought(run.row, run.seed):
                first.append(run)
            continue
        start = STARTS[run.row]
        options = {**run.options, 'load_from': BROUGHT[start] if _is_brought(start, run.seed) else ''}
        if quick:
            options.pop('train_dataloader.dataset.max_clips')
            options.update(_QUICK_CHAIN)
        if not options['load_from']:
            (before,) = [other for other in planned if (other.row, other.seed) == (start, run.seed)]
            options['load_from'] = str(Path(before.work_dir, f'epoch_{before.epochs}.pth'))
        chains.append(run._replace(options=options))
    return [first, chains]


def _is_brought(row: str, seed: int) -> bool:
    return seed == 0 and row in BROUGHT


def measured(
    runs: Sequence[Run],
    configs: Path,
    folder: Path,
    seeds: Sequence[int],
    windows: Sequence[int] = WINDOWS,
    clips: int = STREAMS,
    finished: bool = False,
) -> Dict[str, Any]:
    """What :func:`kaizen_mm.lab.streams.measure` finds for the trained networks of each seed.

    Args:
        runs: Those of :func:`stages`, which have ended.
        configs: Folder of the configs.
        folder: Where what was found for each seed is kept, so that it is not measured again.
        seeds: The seeds.
        windows: Of a stream, for each table.
        clips: Streams.
        finished: Whether rows whose trainings have not ended are left out, and seeds whose static or recurrent network
            is missing. Default False.

    Returns:
        By the number of windows: ``streams``, ``costs``, and for each kind of stream and each way ``mean``, ``error``,
        ``per_seed``, by window, in percent, and ``seeds``; None where a way has no window.

    Raises:
        ValueError: A training has not ended; with ``finished``: no seed has both networks.
    """
    found: Dict[int, Dict[int, dict]] = {count: {} for count in windows}
    for seed in seeds:
        brought = {row: name for row, name in BROUGHT.items() if _is_brought(row, seed)}
        networks = {NETWORKS[row]: streams.load(configs / f'{row}.py', name) for row, name in brought.items()}
        weights = {NETWORKS[row]: name for row, name in brought.items()}  # which they are
        for run in (run for run in runs if run.seed == seed):
            cfg, checkpoint = _ended(run)
            if checkpoint is not None:
                networks[NETWORKS[run.row]] = streams.load(cfg, checkpoint)
                weights[NETWORKS[run.row]] = file_digest(checkpoint)
            elif not finished:
                raise ValueError(f'the training in {run.work_dir} has not ended')
        if not {'static', 'recurrent'} <= set(networks):
            continue
        for count in windows:
            path = Path(folder, f'seed_{seed}', f'streams_{count}_of_{clips}.json')
            kept = json.loads(path.read_text(encoding='utf-8')) if path.exists() else dict(weights={}, found=None)
            known = kept['found'] if kept['weights'].items() <= weights.items() else None
            found[count][seed] = streams.measure(networks, clips, count, known=known)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_lines(path, [json.dumps(dict(weights=weights, found=found[count][seed]), indent=2)])
    if not all(found.values()):
        raise ValueError('no seed has both a static and a recurrent network whose trainings have ended')
    return {str(count): _over_seeds(per_seed) for count, per_seed in found.items()}


def _ended(run: Run) -> Tuple[Config, Optional[str]]:
    """The config of a training, and the checkpoint that it ended with; None where it has not."""
    cfg = Config.fromfile(run.config)
    cfg.merge_from_dict(run.options)
    cfg.work_dir = run.work_dir
    return cfg, finished_checkpoint(cfg) if Path(run.work_dir).is_dir() else None


def _over_seeds(per_seed: Mapping[int, dict]) -> dict:
    """Of what was found for each seed; a way may be there for some of them alone."""
    first = next(iter(per_seed.values()))
    kinds = [kind for kind in first if kind.startswith('accuracy')]
    result = dict(streams=first['streams'])
    for kind in kinds:
        names = dict.fromkeys(way for found in per_seed.values() for way in found[kind])
        result[kind] = {
            way: dict(
                _row([found[kind][way] for found in per_seed.values() if way in found[kind]], first['streams']),
                seeds=[seed for seed, found in per_seed.items() if way in found[kind]],
            )
            for way in names
        }
    costs: Dict[str, List[dict]] = {}
    for found in per_seed.values():
        for way, cost in found.get('costs', {}).items():
            costs.setdefault(way, []).append(cost)
    result['costs'] = {
        way: {key: statistics.median(cost[key] for cost in own) for key in own[0]} for way, own in costs.items()
    }
    return result


def _row(values: Sequence[list], tested: int) -> dict:
    mean: List[Optional[float]] = []
    error: List[Optional[float]] = []
    for of_window in zip(*values):
        known = [value for value in of_window if value is not None]
        mean.append(statistics.mean(known) if known else None)
        error.append(standard_error(known, tested) if known else None)
    return dict(mean=mean, error=error, per_seed=[list(of_seed) for of_seed in values])


def markdown(content: Dict[str, Any]) -> str:
    """The tables, mean and standard error by window."""
    lines = []
    for count, found in content.items():
        for kind, ways in _accuracies(found):
            lines += [f'{count} windows, {found["streams"]} streams; {kind}, %', '']
            lines.append('| window | seeds | ' + ' | '.join(map(str, range(1, int(count) + 1))) + ' |')
            lines.append('| --- | --- |' + ' --- |' * int(count))
            for way, row in ways.items():
                cells = ' | '.join(_cell(*cell) for cell in zip(row['mean'], row['error']))
                lines.append(f'| {way} | {", ".join(map(str, row["seeds"]))} | {cells} |')
            lines.append('')
        lines += [f'{count} windows: what one costs, in the mean over the windows of a stream', '']
        lines += ['| way | multiply-adds | ms of CPU time |', '| --- | --- | --- |']
        for way, cost in found['costs'].items():
            lines.append(f'| {way} | {cost["multiply_adds"] / 1e6:.2f} M | {cost["ms"]:.2f} |')
        lines.append('')
    return '\n'.join(lines).rstrip()


def _accuracies(found: dict) -> List[Tuple[str, dict]]:
    """The kinds of streams and what was found on them."""
    return [(kind, rows) for kind, rows in found.items() if kind.startswith('accuracy')]


def _cell(mean: Optional[float], error: Optional[float]) -> str:
    if mean is None:
        return '-'
    return f'{mean:.1f}' + ('' if error is None else f' ± {error:.1f}')


def plot(content: Dict[str, Any], path: Path, title: str) -> None:
    """Accuracy against the window, as a PNG: a picture for each kind of stream and number of windows."""
    pictures = [
        (f'{count} windows, {kind}', ways) for count, found in content.items() for kind, ways in _accuracies(found)
    ]
    figure, axes = plt.subplots(len(pictures), 1, figsize=(11, 5 * len(pictures)), squeeze=False, layout='constrained')
    for axis, (name, ways) in zip(axes.flat, pictures):
        for place, (way, row) in enumerate(ways.items()):
            axis.plot(
                range(1, len(row['mean']) + 1),
                [m if m is not None else float('nan') for m in row['mean']],
                linestyle=('-', '--', ':')[place // 10 % 3],
                marker='.',
                label=way,
            )
        axis.set(title=name, xlabel='window', ylabel='accuracy [%]')
        axis.grid(alpha=0.25)
        axis.legend(fontsize=7, frameon=False, loc='center left', bbox_to_anchor=(1, 0.5))
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
