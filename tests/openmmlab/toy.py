"""A runner that trains two numbers in no time."""

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS

from kaizen_mm.openmmlab.runner import KaizenRunner


@MODELS.register_module()
class Toy(BaseModel):
    """Fits a line; in call ``nan_at`` its loss is NaN."""

    def __init__(self, nan_at: int = -1, init_cfg=None):
        super().__init__(init_cfg=init_cfg)
        torch.manual_seed(0)
        self.line, self.nan_at, self.calls = torch.nn.Linear(1, 1), nan_at, 0

    def forward(self, inputs, mode='tensor'):
        outputs = self.line(torch.stack(list(inputs)))
        self.calls += 1
        loss = outputs.square().mean() * (float('nan') if self.calls == self.nan_at else 1)
        return dict(loss=loss) if mode == 'loss' else outputs


@DATASETS.register_module()
class ToyData(torch.utils.data.Dataset):
    """The numbers from 0, four of them."""

    def __init__(self, length: int = 4):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return dict(inputs=torch.ones(1) * index)


def toy_runner(work_dir, epochs=2, rate=0.1, model=None, checkpoint=None, hooks=None, **entries) -> KaizenRunner:
    """Two iterations in each epoch; ``entries`` are those of the config."""
    return KaizenRunner.from_cfg(
        Config(
            dict(
                dict(
                    model=dict(dict(type='Toy'), **(model or {})),
                    work_dir=str(work_dir),
                    train_dataloader=dict(
                        batch_size=2,
                        num_workers=0,
                        sampler=dict(type='DefaultSampler', shuffle=False),
                        dataset=dict(type='ToyData'),
                        collate_fn=dict(type='pseudo_collate'),
                    ),
                    train_cfg=dict(by_epoch=True, max_epochs=epochs),
                    optim_wrapper=dict(optimizer=dict(type='SGD', lr=rate)),
                    default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, **(checkpoint or {}))),
                    custom_hooks=hooks,
                    default_scope='mmengine',
                    experiment_name=str(work_dir).replace('/', '_'),
                    randomness=dict(seed=0),
                ),
                **entries,
            )
        )
    )
