"""A runner that trains two numbers in no time."""
import uuid

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner


class Toy(BaseModel):
    """Fits a line; from ``nan_at`` on its loss is NaN."""

    def __init__(self, nan_at: int = -1):
        super().__init__()
        torch.manual_seed(0)
        self.line, self.nan_at, self.calls = torch.nn.Linear(1, 1), nan_at, 0

    def forward(self, inputs, mode='tensor'):
        outputs = self.line(torch.stack(list(inputs)))
        self.calls += 1
        loss = outputs.square().mean() * (float('nan') if self.calls == self.nan_at else 1)
        return dict(loss=loss) if mode == 'loss' else outputs


def toy_runner(work_dir, nan_at=-1, epochs=2, rate=0.1, checkpoint=None, hooks=None, **kwargs) -> Runner:
    """Two iterations in each epoch."""
    return Runner(
        model=Toy(nan_at), work_dir=str(work_dir), experiment_name=uuid.uuid4().hex,
        train_dataloader=dict(batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                              dataset=[dict(inputs=torch.ones(1) * i) for i in range(4)], collate_fn=dict(type='pseudo_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=epochs), optim_wrapper=dict(optimizer=dict(type='SGD', lr=rate)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, **(checkpoint or {}))),
        custom_hooks=[dict(type='FiniteLossHook'), *(hooks or [])], randomness=dict(seed=0), **kwargs)
