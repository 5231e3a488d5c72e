"""What a call costs apart from time: multiply-adds, and the most memory that it holds."""

import gc
import os
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # the profiler would speak of GPUs that are not there

_aten = torch.ops.aten


def multiply_adds(call: Callable[[], object]) -> int:
    """Multiply-adds of the convolutions and matrix products that a call makes, from the shapes of their operands, those
    of a backward pass included."""
    counter = FlopCounterMode(display=False, custom_mapping=_COUNTED)
    with counter:
        call()
    return counter.get_total_flops() // 2


def _convolution_backward(output, inputs, weight, bias, stride, padding, dilation, transposed, *rest, **kwargs) -> int:
    """Torch 2.14's own formula counts the weight's gradient of a grouped convolution ``groups`` times.

    Each of the two gradients takes as many multiply-adds as the convolution itself.
    """
    positions = inputs[2:] if transposed else output[2:]
    forward = output[0] * torch.Size(positions).numel() * torch.Size(weight).numel()
    mask = rest[2]  # after output_padding and groups
    return 2 * forward * (bool(mask[0]) + bool(mask[1]))


def _attention(query, key, value, *args, out_shape=None, **kwargs) -> int:
    """Torch 2.14 counts the kernels of GPUs alone."""
    return sdpa_flop_count(query, key, value)


def _attention_backward(gradient, query, key, value, *args, out_shape=None, **kwargs) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


_COUNTED = {
    _aten.convolution_backward: _convolution_backward,
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def peak_memory(call: Callable[[], object], device: str = 'cpu', after: Callable[[], object] = lambda: None) -> int:
    """Bytes that torch's allocator holds at most during a call, above what it held before.

    On a CPU all allocations of the call are looked at, with those inside of operations but without what oneDNN takes
    past the allocator. The call, and what comes ``after`` it, run before: nothing is counted that stays from the first
    run alone.
    """
    call()
    after()
    gc.collect()
    if device == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    now = most = 0
    for _, size in sorted(_allocations(call)):
        now += size
        most = max(most, now)
    return most


def _allocations(call):
    """(time, bytes) of every allocation, and of every release with a negative number."""
    from torch._C._profiler import _EventType

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    events = list(profile.profiler.kineto_results.experimental_event_tree())
    while events:
        event = events.pop()
        events += event.children
        if event.tag == _EventType.Allocation:
            yield event.start_time_ns, event.extra_fields.alloc_size
