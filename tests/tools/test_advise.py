"""What is said of a recurrence before it is trained: by kaizen-advise, and at the start of a training."""

import logging
import re
from types import SimpleNamespace

import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

import kaizen_mm.openmmlab.image  # noqa: F401
from kaizen_mm.commands.advise import main
from kaizen_mm.openmmlab.advice import AdviceHook, advice_of_batch, advise
from tests.conftest import ROOT
from tests.openmmlab.trained import image_config, stock_image_config, stock_video_config, video_config

CONFIGS = ROOT / 'configs'


@pytest.fixture
def tool(capsys):
    def command(*words):
        try:
            status = main([str(word) for word in words])
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()

    return command


def test_the_network_of_the_study(tool):
    status, text, errors = tool(CONFIGS / 'kaizen_bagnet_cifar10_k2_paper.py')
    assert status == 0, errors
    first, second, third = text.splitlines()
    assert first.startswith('One position of the last map sees 4 of 32 x 4 of 32 of the input; ')
    assert '1,024 weights of h come to the ' in second and third == 'What h reads is not zero at the start.'


def test_a_network_whose_positions_see_everything(tool):
    status, text, _ = tool(CONFIGS / 'any_network' / 'resnet18_in1k.py', '--input-size', 3, 64, 64)
    assert status == 0 and 'in networks like this the recurrence has made no difference' in text


def test_a_network_without_a_recurrence_gets_the_call(tool):
    status, text, _ = tool(CONFIGS / 'bagnet_cifar10.py', '--input-size', 3, 32, 32)
    assert status == 0 and "block=['block1', 'block2']" in text and 'sees 4 of 32 x 4 of 32' in text


def test_mnist_reads_its_own_data(tool, mnist_data, monkeypatch):
    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    status, text, errors = tool(CONFIGS / 'kaizen_mnist_k2.py')
    assert status == 0, errors
    assert 'could not be measured' in text and '4,800 weights of h come to the 880 of the network' in text


@pytest.mark.parametrize(
    'words, message',
    [
        (['kaizen_bagnet_cifar10_k2_paper.py', '--input-size', '2', '32', '32'], 'input_size: .* does not take'),
        (['bagnet_cifar10.py', '--input-size', '1', '32', '32'], 'example_input: BagNet2d does not run on it'),
        (['kaizen_mnist_k2.py', '--cfg-options', 'model.backbone.num_iteration=3'], 'num_iteration'),
        (['no_such_config.py'], 'no_such_config'),
    ],
)
def test_what_cannot_be_advised_is_one_line(tool, words, message):
    status, _, errors = tool(CONFIGS / words[0], *words[1:])
    assert status == 2 and len(errors.splitlines()) == 1 and re.search(message, errors), errors


def test_training_data_that_are_not_there_are_named(tool, tmp_path, monkeypatch):
    monkeypatch.setenv('KAIZEN_DATA', str(tmp_path / 'nowhere'))
    status, _, errors = tool(CONFIGS / 'kaizen_mnist_k2.py')
    assert status == 2 and errors.startswith('error:') and 'nowhere' in errors


def batch(cfg: Config, shape):
    kind = DataSample if cfg.default_scope == 'mmpretrain' else ActionDataSample
    return dict(
        inputs=[torch.randint(255, shape, dtype=torch.uint8) for _ in range(2)],
        data_samples=[kind().set_gt_label(0) for _ in range(2)],
    )


@pytest.mark.parametrize(
    'config, shape',
    [
        (image_config, (3, 64, 64)),
        (stock_image_config, (3, 32, 32)),
        (video_config, (1, 3, 16, 32, 32)),
        (stock_video_config, (1, 3, 8, 32, 32)),
    ],
)
def test_the_first_batch_of_a_training_tells(config, shape, caplog):
    cfg = config()
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        if cfg.get('data_preprocessor') is not None:
            cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
        model = MODELS.build(cfg.model).train()
        data, random = batch(cfg, shape), torch.get_rng_state()
        found = advice_of_batch(model, data)
        assert found.size == shape[-len(found.size) :] and found.num_iterations > 1
        state = {name: value.clone() for name, value in model.state_dict().items()}
        logger = logging.getLogger('of the test')
        hook, runner = AdviceHook(), SimpleNamespace(model=model, logger=logger)
        with caplog.at_level(logging.INFO, logger.name):
            for index in range(3):
                hook.before_train_iter(runner, index, data)
    assert [record.getMessage() for record in caplog.records] == found.lines()
    assert torch.equal(random, torch.get_rng_state()) and model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_networks_without_a_recurrence_and_odd_ones_stop_nothing(caplog):
    model = torch.nn.Linear(2, 2)
    runner = SimpleNamespace(model=model, logger=logging.getLogger('of the test'))
    with caplog.at_level(logging.INFO, 'of the test'):
        AdviceHook().before_train_iter(runner, 0, {})
        assert not caplog.records
        cfg = image_config()
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            runner.model = MODELS.build(cfg.model)
        AdviceHook().before_train_iter(runner, 0, dict(inputs=[torch.zeros(3, 8, 8)], data_samples=[None]))
    (record,) = caplog.records
    assert record.levelname == 'WARNING' and 'No advice about the recurrence' in record.getMessage()


def test_a_config_may_say_the_size_of_its_backbone():
    assert 'of 64' in advise(image_config()) or 'all of your input' in advise(image_config())
