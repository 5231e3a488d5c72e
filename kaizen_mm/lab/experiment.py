"""Trainings with their tests, and static and recurrent network side by side.

What is complete is not done again, what was interrupted is resumed.
"""

import copy
import json
import logging
import os
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Optional, Sequence

import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner

from kaizen_mm.files import write_lines
from kaizen_mm.folder_lock import locked_folder
from kaizen_mm.lab.correctness import CorrectnessHook
from kaizen_mm.lab.measures import MEASURES, measured
from kaizen_mm.lab.results import read_result, write_result
from kaizen_mm.openmmlab.log.progress import ProgressBarHook
from kaizen_mm.openmmlab.training.estimate import STEPS, EstimateHook, spoken_time, timed_phase
from kaizen_mm.openmmlab.training.phase_one import phase_one_config
from kaizen_mm.openmmlab.training.record import finished_checkpoint, read_record
from kaizen_mm.openmmlab.training.runner import build_runner
from kaizen_mm.openmmlab.training.settings import fingerprint, test_settings, without_contents
from kaizen_mm.uncertainty import check_seeds, verdict, with_error

ROWS = ('phase_one', 'static_control', 'kaizen')


def compare(
    kaizen: Config,
    control: Config,
    folder: str,
    seeds: Sequence[int] = (0,),
    announce: Callable[[str], None] = print,
    quiet: bool = False,
) -> dict:
    """Trains and tests all rows for all seeds; phase one is shared by the other two.

    Everything is kept under one folder: ``seed_S/phase_one``, ``seed_S/static_control``,
    ``seed_S/kaizen`` and ``results.json``. Of configs without phase one, both networks are trained from the start,
    and there is no such row.

    Args:
        kaizen: Config of the recurrent network.
        control: Config of the static control.
        folder: Where everything is kept.
        seeds: One run of every row for each; different ones.
        announce: Called with a line of text as each step starts.
        quiet: Whether progress bars take the place of log lines on the terminal. The log files
            stay as they are. Default False.

    A folder that has been used already must be of the same configs, see :mod:`kaizen_mm.openmmlab.training.record`.

    Returns:
        For each row the means over seeds of ``clip_top1`` and ``video_top1``, or ``top1`` for images (percent; for
        ``kaizen`` a list, one entry per iterate), of ``parameters`` and of ``seconds`` (of training and test, since the
        last interruption). ``per_seed`` has the same for each seed, and which samples were right (see
        :mod:`kaizen_mm.lab.correctness`). All of it is written to ``results.json`` too.

    Raises:
        ValueError: ``kaizen`` is not recurrent, ``control`` is, or one of them alone has a phase one; or the folder
            holds a row of another config; or a seed is given twice, or is no seed.
    """
    check_seeds(seeds)
    for name, cfg, recurrent in (('kaizen', kaizen, True), ('control', control, False)):
        iterations = cfg.model.backbone.get('num_iterations')
        if not iterations or (iterations > 1) != recurrent:
            raise ValueError(
                f'{name} must be a config with num_iterations {"of at least 2" if recurrent else "1"}, got '
                f'num_iterations={iterations}'
            )
    phases = [cfg.get('phase_one') is not None for cfg in (kaizen, control)]
    if phases[0] != phases[1]:
        raise ValueError(
            'kaizen and control must both have a phase_one, or neither of them, got one in '
            f'{"kaizen" if phases[0] else "control"} alone'
        )
    per_seed: Dict[str, List[dict]] = {row: [] for row in (ROWS if phases[0] else ROWS[1:])}
    if not quiet and not list(Path(folder).glob('seed_*/*/training.json')):
        announce(
            _estimate([_row_config(row, kaizen, control, Path(folder), seeds[0]) for row in per_seed], per_seed, seeds)
        )
    for seed in seeds:
        root = Path(folder, f'seed_{seed}')
        for row in per_seed:
            cfg = _row_config(row, kaizen, control, root, seed)
            announce(f'{row}, seed {seed}: {length(cfg)} in {cfg.work_dir}')
            run = train_and_test(cfg, 'bar' if quiet else 'log')
            metrics = run.pop('metrics')
            per_seed[row].append({**_accuracies(metrics), **run})
    results = {row: {**_mean(runs), 'per_seed': runs} for row, runs in per_seed.items()}
    results['seeds'] = list(seeds)
    write_lines(Path(folder, 'results.json'), [json.dumps(results, indent=2)])
    return results


def _estimate(configs: Sequence[Config], rows: Iterable[str], seeds: Sequence[int]) -> str:
    """How long the trainings of all rows and seeds will take, as a line."""
    try:
        phases = [timed_phase(row, cfg) for row, cfg in zip(rows, configs)]
    except Exception as error:  # of whatever kind: what is wrong with a config its training says
        return f'No estimate of the time: {type(error).__name__}: {error}'
    parts = ', '.join(f'{phase.name} {spoken_time(phase.seconds)}' for phase in phases)
    whole = spoken_time(len(seeds) * sum(phase.seconds for phase in phases))
    many = f' for each of {len(seeds)} seeds' if len(seeds) > 1 else ''
    return f'Estimate: about {whole} of training ({parts}{many}), from {STEPS} timed steps of each'


def _row_config(row: str, kaizen: Config, control: Config, root: Path, seed: int) -> Config:
    cfg = Config((control if row == 'static_control' else kaizen).to_dict())
    cfg.launcher = 'none'
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    if cfg.get('phase_one') is not None:
        cfg.phase_one.work_dir = str(root / 'phase_one')
    cfg.work_dir = str(root / row)
    return phase_one_config(cfg, cfg.work_dir) if row == 'phase_one' else cfg


def _accuracies(metrics: dict) -> dict:
    result = {}
    for key, measure in MEASURES.items():
        if measure.name.format('') in metrics:
            iterates = measure.iterates(metrics)
            result[key] = iterates if len(iterates) > 1 else iterates[0]
    if not result:
        raise ValueError(
            f'the test must measure one of {[measure.name.format("") for measure in MEASURES.values()]}, its metrics '
            f'are {sorted(metrics)}'
        )
    return result


def train_and_test(cfg: Config, output: str = 'log') -> dict:
    """Trains unless complete, tests the last epoch, and keeps the result as ``result.json`` beside it.

    Args:
        cfg: Config of the training, ``work_dir`` included.
        output: What the terminal shows: ``'log'`` (default), ``'bar'`` for a progress bar, or
            ``'nothing'``. The log files are the same.

    Returns:
        ``metrics`` (of the test, by the evaluator's names), ``parameters``, ``trained_parameters``, ``epochs`` (None
        for a training by iterations), ``tested`` (how many videos or images), ``seconds`` (of training and test, since
        the last interruption) and ``seconds_test``; and what :meth:`CorrectnessHook.found` returns, unless the result
        is of before there was that.

    Raises:
        ValueError: The folder holds the training of another config, or one without a record; or ``result.json`` there
            is damaged or was edited.
        RuntimeError: The training has not ended.
        FolderInUse: Another process trains there.
    """
    with locked_folder(cfg.work_dir):
        return _train_and_test(cfg, output)


def _train_and_test(cfg: Config, output: str) -> dict:
    result_file = Path(cfg.work_dir, 'result.json')
    started, checkpoint = time.time(), finished_checkpoint(cfg)
    settings = test_settings(cfg)
    # of results of earlier versions it is not known what was in the files
    test, before_contents = fingerprint(settings), fingerprint(without_contents(settings))
    spent = 0.0  # by a training that is only tested again
    if checkpoint is not None and result_file.exists():
        result = read_result(result_file)
        own = result.pop('training', None) == read_record(cfg.work_dir).training
        if own and result.pop('test', None) in (test, before_contents):
            return result
        spent = result['seconds'] - result['seconds_test'] if own else 0.0
    if checkpoint is None:
        checkpoint = _train(cfg, output)
    trained = time.time()
    cfg = copy.deepcopy(cfg)
    cfg.resume, cfg.load_from = False, checkpoint
    training = read_record(cfg.work_dir).training
    cfg.work_dir = str(Path(cfg.work_dir, 'test'))  # or its log could take the place of the training's
    runner = _runner(cfg, output)
    correctness = CorrectnessHook()
    runner.register_hook(correctness)
    metrics = runner.test()
    parameters = list(runner.model.parameters())
    result = dict(
        metrics=metrics,
        parameters=sum(p.numel() for p in parameters),
        trained_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        epochs=cfg.train_cfg.get('max_epochs'),
        tested=len(runner.test_loop.dataloader.dataset),
        seconds=spent + time.time() - started,
        seconds_test=time.time() - trained,
        **correctness.found(),
    )
    # the result counts for this training and this test alone
    write_result(result_file, dict(result, training=training, test=test))
    return result


def _train(cfg: Config, output: str) -> str:
    """Begins a training or goes on with it; returns the checkpoint that it has ended with."""
    now = copy.deepcopy(cfg)
    now.resume = read_record(cfg.work_dir) is not None
    if now.resume:
        now.load_from = None
    _runner(now, output).train()
    checkpoint = finished_checkpoint(cfg)
    if checkpoint is None:
        raise RuntimeError(f'the training in {cfg.work_dir} has not ended, so that there is nothing to test')
    return checkpoint


def length(cfg: Config) -> str:
    """How long a config trains, for people."""
    epochs = cfg.train_cfg.get('max_epochs')
    return f'{cfg.train_cfg.max_iters} iterations' if epochs is None else f'{epochs} epochs'


def _runner(cfg: Config, output: str) -> Runner:
    # mmengine would name runners by the second, and two of one name would share one log file
    cfg.experiment_name = cfg.work_dir.replace(os.sep, '_')
    if output == 'log':
        runner = build_runner(cfg)
        runner.register_hook(EstimateHook())
        runner.register_hook(ProgressBarHook(terminal_only=True))
        return runner
    if output == 'bar':
        cfg.default_hooks.progress = dict(type='ProgressBarHook')
    with open(os.devnull, 'w') as nowhere, redirect_stdout(nowhere):
        runner = build_runner(cfg)
    for handler in runner.logger.handlers:
        if type(handler) is logging.StreamHandler:
            runner.logger.removeHandler(handler)
    return runner


def _mean(runs: List[dict]) -> dict:
    mean = {}
    for key in runs[0]:
        if key in ('right', 'samples'):  # of single samples
            continue
        values = [run[key] for run in runs]
        same = all(value == values[0] for value in values)
        mean[key] = values[0] if same else np.mean(values, axis=0).tolist()
    return mean


def markdown_table(results: dict) -> str:
    """Mean and standard error of every row and iterate, over seeds or, with a single one, over the tested samples."""
    measures = measured(results)
    lines = [
        '| network | parameters | '
        + ''.join(f'{measure.title} ± standard error | ' for measure in measures.values()).rstrip(),
        '| --- | --- |' + ' --- |' * len(measures),
    ]
    for row in (row for row in ROWS if row in results):
        values = {key: np.array([np.atleast_1d(run[key]) for run in results[row]['per_seed']]) for key in measures}
        iterates = next(iter(values.values())).shape[1]  # [seeds, iterates]
        for i in range(iterates):
            name = f'{row}, iterate {i + 1}' if iterates > 1 else row
            cells = ''.join(f' {with_error(values[key][:, i].tolist(), _tested(results, row))} |' for key in measures)
            lines.append(f'| {name} | {results[row]["parameters"]:,} |{cells}')
    return '\n'.join(lines)


def _tested(results: dict, row: str) -> Optional[int]:
    return results[row]['per_seed'][0].get('tested')  # not in results of before it was counted


def conclusion(results: dict) -> str:
    """One sentence on what :func:`compare` has found, on whole videos or on images."""
    key = list(measured(results))[-1]
    last, control = (
        [float(np.atleast_1d(run[key])[-1]) for run in results[row]['per_seed']] for row in ('kaizen', 'static_control')
    )
    return verdict(last, control, _tested(results, 'kaizen'), *_right_of_same_samples(results))


def _right_of_same_samples(results: dict) -> List[Optional[List[bool]]]:
    """Which samples the last iterate and the static control get right; None of each where results do not say so, or
    are of different samples."""
    runs = [results[row]['per_seed'][0] for row in ('kaizen', 'static_control')]
    if not all('right' in run for run in runs) or runs[0]['samples'] != runs[1]['samples']:
        return [None, None]
    return [[value == '1' for value in run['right'][-1]] for run in runs]
