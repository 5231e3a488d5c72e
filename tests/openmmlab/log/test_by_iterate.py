"""Logged values by iterate."""

from kaizen_mm.openmmlab.log.by_iterate import by_iterate


def test_values_are_taken_apart_by_name_and_iterate():
    groups, rest = by_iterate(
        {
            'loss': 1,
            'iterate_2_ce': 2,
            'iterate_1_ce': 3,
            'iterate_1_top1_acc': 4,
            'top1_acc': 5,
            'conv5/iterate_2_weight_change': 6,
            'acc/iterate_1/video_top1': 7,
            'acc/iterate_2/video_top1': 8,
            'acc/video_top1': 8,
            'iterates': 9,
        }
    )
    assert groups == {
        'ce': {1: 3, 2: 2},
        'top1_acc': {1: 4, 2: 5},
        'conv5/weight_change': {2: 6},
        'acc/video_top1': {1: 7, 2: 8},
    }
    assert list(groups['ce']) == [1, 2] and rest == {'loss': 1, 'iterates': 9}


def test_a_plain_networks_values_belong_to_no_iterate():
    assert by_iterate({'loss': 1, 'top1_acc': 2}) == ({}, {'loss': 1, 'top1_acc': 2})
