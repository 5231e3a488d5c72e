"""Multiply-adds against formulas, peak memory against allocations of known size."""

import pytest
import torch
import torch.nn.functional as F

from kaizen_mm.lab.counting import multiply_adds, peak_memory


@pytest.mark.parametrize('groups', [1, 4])
@pytest.mark.parametrize('dims', [2, 3])
def test_convolutions_forward_and_backward(dims, groups):
    conv = (torch.nn.Conv2d, torch.nn.Conv3d)[dims - 2](8, 16, 3, padding=1, groups=groups, bias=False)
    x = torch.randn(2, 8, *(5,) * dims, requires_grad=True)
    forward = 2 * 5**dims * 16 * (8 // groups) * 3**dims
    assert multiply_adds(lambda: conv(x.detach())) == forward
    assert multiply_adds(lambda: conv(x).sum().backward()) == 3 * forward
    assert multiply_adds(lambda: conv(x.detach()).sum().backward()) == 2 * forward  # no gradient of the input
    conv.weight.requires_grad_(False)
    assert multiply_adds(lambda: conv(x).sum().backward()) == 2 * forward


def test_products_of_the_low_rank_update():
    base, rows, seen = torch.zeros(2, 5, 7), torch.randn(2, 5, 3), torch.randn(2, 3, 7)
    assert multiply_adds(lambda: torch.baddbmm(base, rows, seen, alpha=0.1)) == 2 * 5 * 3 * 7
    assert multiply_adds(lambda: F.linear(torch.randn(6, 3), torch.randn(4, 3))) == 6 * 3 * 4


@pytest.mark.parametrize('positions, width', [(5, 3), (64, 10)])
def test_attention_forward_and_backward(positions, width):
    q, k, v = torch.randn(3, 2, positions, width, requires_grad=True)
    product = 2 * positions * positions * width
    assert multiply_adds(lambda: F.scaled_dot_product_attention(q.detach(), k.detach(), v.detach())) == 2 * product
    counted = multiply_adds(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward())
    assert counted == 7 * product  # two products; backwards four, and the first one anew


def test_the_most_memory_that_is_held_at_a_time():
    def call():
        first, second = torch.empty(1000, 1000), torch.empty(1000, 1000)
        del first
        return torch.empty(500, 1000) + second[:500]

    # second, and two halves; before that two whole ones
    assert peak_memory(call) == pytest.approx(8e6, abs=1e4)


def test_what_is_kept_from_the_first_call_does_not_count():
    kept = []

    def call():
        if not kept:
            kept.append(torch.empty(1000, 1000))
        torch.empty(10, 1000)

    assert peak_memory(call) == pytest.approx(4e4, abs=1e3)


def test_gradients_of_a_step_count():
    linear = torch.nn.Linear(1000, 1000, bias=False)
    x = torch.ones(1, 1000)

    def step():
        linear(x).sum().backward()

    assert peak_memory(step, after=lambda: linear.zero_grad(set_to_none=True)) == pytest.approx(4e6, rel=0.1)
