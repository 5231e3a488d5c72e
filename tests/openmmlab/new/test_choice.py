"""What is chosen for what was found."""

from pathlib import Path

import pytest
import torch

from kaizen_mm.openmmlab.new.choice import MANY, choose
from kaizen_mm.openmmlab.new.survey import Survey


def found(kind='photos', train=40, val=10, side=300, frames=0, rate=0.0) -> Survey:
    parts = [[(f'{n}', n % 2) for n in range(count)] for count in (train, val)]
    return Survey('mine', kind, Path('/data'), ['a', 'b'], *parts, ('train', 'val'), None, side, frames, rate, [])


@pytest.mark.parametrize('side, network', [(32, 'patches'), (64, 'patches'), (65, 'resnet18'), (1000, 'resnet18')])
def test_small_photos_are_seen_as_patches(side, network):
    choice = choose(found(side=side))
    other = 'resnet18' if network == 'patches' else 'patches'
    assert choice.network == network and f'--network {other}' in choice.why[0], 'the other is named'
    assert choose(found(side=side), weights='timm::resnet18').network == 'resnet18', 'from elsewhere'


@pytest.mark.parametrize('gpu, network', [(False, 'mfnet'), (True, 'slowonly')])
def test_videos_start_from_kinetics_where_there_is_a_gpu(gpu, network, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    choice = choose(found('videos', frames=60, rate=25.0))
    assert choice.network == network
    assert any('Kinetics' in line for line in choice.why), 'it is named either way'


@pytest.mark.parametrize('samples, weights', [(40, 'kaizen_mm::kaizen_bagnet_cifar10'), (MANY, None)])
def test_few_small_photos_start_from_the_weights_of_the_package(samples, weights):
    choice = choose(found(train=samples, side=32))
    assert choice.weights == weights
    assert any('with 40 the verdict' in line for line in choice.why) == (samples == 40), 'measured on many'
    assert ('starts from scratch' in choice.why) == (weights is None)


@pytest.mark.parametrize('samples, batch', [(5, 4), (40, 4), (79, 4), (80, 8), (159, 8), (160, 16), (100_000, 16)])
def test_a_batch_leaves_ten_steps_an_epoch(samples, batch):
    choice = choose(found(train=samples))
    assert choice.batch == batch and choice.phase_one >= 5 and choice.epochs >= 3
    steps = -(-samples // batch)
    assert any(f'{samples} photos in batches of {batch} are {steps} step' in line for line in choice.why)


def test_few_photos_in_big_batches_are_few_steps_and_it_says_so():
    line = next(line for line in choose(found(train=40, side=32)).why if 'batches' in line)
    assert '40 epochs make 400 steps (batches of 128 would make 40)' in line
    assert any('of 10 photos to validate on, one is 10 points' in line for line in choose(found()).why)
    assert not any('to validate on' in line for line in choose(found(val=500)).why)


@pytest.mark.parametrize('frames, interval', [(0, 2), (10, 1), (31, 1), (32, 2), (500, 2)])
def test_clips_are_as_long_as_the_videos_allow(frames, interval):
    choice = choose(found('videos', frames=frames, rate=25.0), 'mfnet')
    assert choice.interval == interval
    assert any('fewer frames than a clip of 16' in line for line in choice.why) == (frames == 10)


def test_what_cannot_be_chosen_is_named():
    with pytest.raises(ValueError, match="network for photos must be one of .*'patches', 'resnet18'.*got 'mfnet'"):
        choose(found(), 'mfnet')
    with pytest.raises(FileNotFoundError, match=r'weights: no file nothing.pth; give a file, .* timm::NAME or none'):
        choose(found(), weights='nothing.pth')
