"""``.pt2`` of ``torch.export`` and ONNX, checked against the network in Python before a file is written."""

import io
import os
import warnings
from pathlib import Path
from typing import Callable, List, Sequence, Tuple

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_int, check_shape
from kaizen_mm.export.networks import Logits
from kaizen_mm.files import write_bytes

TOLERANCE = 1e-5
OPSET = 18


def export_network(
    network: nn.Module, path: str | Path, input_size: Sequence[int], all_iterates: bool = False, batch: int = 2
) -> float:
    """Writes a network, in evaluation mode, as a graph that takes batches of any size.

    Input ``x``; output ``logits``, or with ``all_iterates`` ``logits_1`` to ``logits_K``. What was written is read back
    and run on batches of two sizes; a file stays only where it gives what the network gives.

    Args:
        network: See :class:`~kaizen_mm.export.Logits`. Its mode is put back.
        path: File to write, whose ending says the format: ``.pt2`` (``torch.export``) or ``.onnx`` (opset 18).
        input_size: Of one sample, such as ``(C, H, W)`` or ``(C, T, H, W)``.
        all_iterates: Whether the graph gives the logits of all iterates. Default False, the last one's.
        batch: Size of the batch that the graph is made with, at least 2. Default 2.

    Returns:
        The largest difference of a logit from the network's, relative to the largest logit where that is above 1.

    Raises:
        ValueError: An argument that cannot be used; a network that cannot be exported; a graph that gives something
            else than the network.
        ImportError: What writes or runs ONNX is not installed.
        OSError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f'path must end in one of {", ".join(FORMATS)}, got {str(path)!r}')
    check_int('batch', batch, 2)
    size = check_shape('input_size', input_size, '(C, H, W) or (C, T, H, W) of one sample')
    check_writable(path)
    training, parameter = network.training, next(network.parameters())
    module, generator = Logits(network, all_iterates).eval(), torch.Generator().manual_seed(0)
    batches = [torch.randn(n, *size, generator=generator).to(parameter) for n in (batch, 2 * batch + 1)]
    try:
        with torch.no_grad():
            expected = [_tensors(module(x)) for x in batches]
            names = ['logits'] if not all_iterates else [f'logits_{i + 1}' for i in range(len(expected[0]))]
            content, run = FORMATS[path.suffix](module, batches[0], names)
            difference = max(_difference(run(x), y) for x, y in zip(batches, expected))
    finally:
        network.train(training)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"the graph gives logits that differ by {difference:.2g} from the network's, more than {TOLERANCE}; "
            f'{path} was not written'
        )
    write_bytes(path, content)
    return difference


def check_writable(path: Path) -> None:
    """Raises what would come of writing a file, before anything is computed."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f'no folder {path.parent} to write {path.name} to')
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a folder, not a file to write')
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f'{path} cannot be written')


def _pt2(module: nn.Module, x: Tensor, names: List[str]) -> Tuple[bytes, Callable]:
    program, file = _program(module, x), io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    return file.getvalue(), lambda x: _tensors(loaded(x))


def _onnx(module: nn.Module, x: Tensor, names: List[str]) -> Tuple[bytes, Callable]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  what torch writes with
    except ImportError as error:
        raise ImportError(
            f'ONNX needs the packages onnx, onnxscript and onnxruntime (pip install "kaizen-mm[export]"): {error}'
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of what torch is going to change in its exporter
        model = torch.onnx.export(
            _program(module, x), dynamo=True, opset_version=OPSET, input_names=['x'], output_names=names, verbose=False
        )
    content = model.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    return content, lambda x: [torch.from_numpy(y).to(x) for y in session.run(None, {'x': x.cpu().numpy()})]


FORMATS = {'.pt2': _pt2, '.onnx': _onnx}


def _program(module: nn.Module, x: Tensor) -> torch.export.ExportedProgram:
    try:
        return torch.export.export(module, (x,), dynamic_shapes={'x': {0: torch.export.Dim('batch')}})
    except Exception as error:
        reason = ' '.join(str(error).split())
        raise ValueError(
            f'{type(module.network).__name__} cannot be exported with a free batch size: {type(error).__name__}: '
            f'{reason[:300]}'
        ) from error


def _tensors(outputs) -> List[Tensor]:
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


def _difference(outputs: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    if [y.shape for y in outputs] != [y.shape for y in expected]:
        return float('inf')
    return max(
        ((a.double() - b.double()).abs().max() / b.double().abs().max().clamp(min=1)).item()
        for a, b in zip(outputs, expected)
    )
