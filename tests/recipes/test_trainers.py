"""The recipes of the page for Lightning and for Hugging Face's Trainer, where these are installed.

No extra brings them. This file imports nothing of OpenMMLab, since mmaction2 1.2.0 cannot be imported beside recent
releases of transformers.
"""

from pathlib import Path

import pytest
import torch

from tests.docs.pages import blocks

PAGE = Path('docs', 'without_openmmlab.md')


def ran(word: str, folder, monkeypatch) -> dict:
    """The names that a block of the page, the one with this word in it, leaves."""
    (block,) = (block for block in blocks(PAGE, 'python') if word in block.text)
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    names: dict = {}
    exec(compile(block.text, str(block), 'exec'), names)
    assert not names['net'].recurrent_block.adapter_is_fresh(), 'h is trained'
    return names


@pytest.mark.slow
def test_lightning_trains_all_iterates_and_goes_on(tmp_path, monkeypatch):
    lightning = pytest.importorskip('lightning', reason='needs lightning, which no extra brings')
    names = ran('LightningModule', tmp_path, monkeypatch)
    trainer, train = names['trainer'], names['train']
    assert set(trainer.callback_metrics) == {'train', 'top1_iterate_1', 'top1_iterate_2'}
    (checkpoint,) = Path('work').rglob('*.ckpt')
    saved = torch.load(checkpoint, weights_only=True)['state_dict']
    more = lightning.Trainer(max_epochs=3, default_root_dir='more', logger=False)
    with torch.no_grad():
        names['net'].wrapped.linear.weight.zero_()
    more.fit(names['model'], train, ckpt_path=str(checkpoint))
    assert more.global_step == 3 * len(train)
    assert torch.equal(saved['net.linear.weight'], torch.load(checkpoint)['state_dict']['net.linear.weight'])
    assert names['net'].wrapped.linear.weight.any()


@pytest.mark.slow
def test_the_trainer_of_hugging_face_trains_all_iterates_and_goes_on(tmp_path, monkeypatch):
    for library in ('transformers', 'accelerate'):
        pytest.importorskip(library, reason=f'needs {library}, which no extra brings')
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    names = ran('TrainingArguments', tmp_path, monkeypatch)
    trainer = names['trainer']
    assert {'eval_top1_iterate_1', 'eval_top1_iterate_2'} <= set(trainer.evaluate())
    steps = trainer.state.global_step
    assert steps == 16 and list(Path('work').glob('checkpoint-*/model.safetensors'))
    trainer.args.num_train_epochs = 3
    trainer.train(resume_from_checkpoint=True)
    assert trainer.state.global_step == 24 and trainer.state.epoch == 3
