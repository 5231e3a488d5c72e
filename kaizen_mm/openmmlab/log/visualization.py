"""TensorBoard and Weights & Biases for recurrent networks: the curves of all iterates in one plot.

Added to a training with one option, see docs/watching.md.
"""

from types import SimpleNamespace
from typing import Optional

from mmengine.registry import VISBACKENDS
from mmengine.visualization.vis_backend import BaseVisBackend, TensorboardVisBackend, WandbVisBackend, force_init_env

from kaizen_mm.openmmlab.log.by_iterate import by_iterate


@VISBACKENDS.register_module()
class NoVisBackend(BaseVisBackend):
    """Keeps nothing: a place in a config for ``--cfg-options visualizer.vis_backends.1.type=...``."""

    @property
    def experiment(self) -> None:
        return None

    def _init_env(self) -> None:
        pass


@VISBACKENDS.register_module()
class IterateTensorboardVisBackend(TensorboardVisBackend):
    """mmengine's TensorBoard back end in which every iterate is a run of its own, ``iterate_1`` and so on.

    What is logged as ``iterate_2_ce`` is ``ce`` of run ``iterate_2``, so that the curves of all iterates share the plot
    ``ce``.

    Args:
        save_dir: Folder of the event files; mmengine sets it.
    """

    def __init__(self, save_dir: str):
        super().__init__(save_dir)
        self._writers = {}

    @force_init_env
    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: Optional[str] = None, **kwargs) -> None:
        groups, rest = by_iterate(scalar_dict)
        for name, value in rest.items():
            self.add_scalar(name, value, step)
        for name, values in groups.items():
            for number, value in values.items():
                self._writer(number).add_scalar(name, value, step)

    def _writer(self, number: int):
        if number not in self._writers:
            folder = f'{self._tensorboard.log_dir}/iterate_{number}'
            self._writers[number] = type(self._tensorboard)(folder)
        return self._writers[number]

    def close(self) -> None:
        super().close()
        for writer in self._writers.values():
            writer.close()


@VISBACKENDS.register_module()
class IterateWandbVisBackend(WandbVisBackend):
    """mmengine's Weights & Biases back end with a chart for every value that iterates have, one line for each iterate.

    Charts are drawn at each validation and at the end; the values themselves are logged as ``ce/iterate_2`` and so on.
    Each phase is a run. Source code is not sent.

    Args:
        kwargs: Those of ``WandbVisBackend``, such as ``init_kwargs=dict(project='mine')``.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._curves = {}  # name -> iterate -> (steps, values)

    def _init_env(self) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ImportError('IterateWandbVisBackend needs wandb: pip install wandb') from error
        # phase one is trained while the run of phase two is open; mmengine's own back end would end that with its own
        self._init_kwargs = dict(self._init_kwargs or {}, reinit='create_new')
        self._init_kwargs.setdefault('dir', self._save_dir)
        run = wandb.init(**self._init_kwargs)
        self._line_series = wandb.plot.line_series
        self._wandb = SimpleNamespace(
            run=run, config=run.config, log=run.log, watch=run.watch, Image=wandb.Image, join=run.finish
        )

    @force_init_env
    def add_config(self, config, **kwargs) -> None:
        self._wandb.config.update(config.to_dict(), allow_val_change=True)

    @force_init_env
    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: Optional[str] = None, **kwargs) -> None:
        groups, rest = by_iterate(scalar_dict)
        for name, values in groups.items():
            for number, value in values.items():
                steps, curve = self._curves.setdefault(name, {}).setdefault(number, ([], []))
                steps.append(step)
                curve.append(value)
                rest[f'{name}/iterate_{number}'] = value
        if 'loss' not in scalar_dict:  # a validation
            rest.update(self._charts())
        self._wandb.log(rest, commit=self._commit)

    def _charts(self) -> dict:
        return {
            f'{name}/all iterates': self._line_series(
                xs=[steps for steps, _ in curves.values()],
                ys=[values for _, values in curves.values()],
                keys=[f'iterate {number}' for number in curves],
                title=name,
                xname='step',
            )
            for name, curves in self._curves.items()
        }

    def close(self) -> None:
        if hasattr(self, '_wandb') and self._curves:
            self._wandb.log(self._charts())
        super().close()
