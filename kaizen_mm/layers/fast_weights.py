"""Fast weights: what the iterates of a recurrent network have written, as a value.

Schmidhuber, "Learning to control fast-weight memories", Neural Computation 1992, and Ba et al., arXiv:1610.06258, call
weights so that change with every input, beside those that training changes slowly. In eq. 2 of Battash & Wolf
(arXiv:1910.11105) they are ``W_K - W_1``, per sample. They can be held: a later pass with them costs no iterations.
"""

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence, Union

import torch
from torch import Tensor

from kaizen_mm.extras import naming_extras
from kaizen_mm.files import whole_file
from kaizen_mm.layers.increments import DenseIncrement, LowRankIncrement, MergedIncrement

_FORMAT = 'kaizen_mm.fast_weights.1'


class FastWeights:
    """The increments ``W_K - W_1`` of the dynamic layers of one or more recurrent blocks, for N samples.

    Written by ``network.written_weights(x)`` and used by ``network(x, fast_weights=...)``; ``weights[n]`` are those of
    one sample, ``weights[3:5]`` and ``weights[mask]`` of several, ``len(weights)`` is N. A sample is an entry of the
    recurrent block's input: where frames stand in the batch there, a frame.

    Args:
        blocks: Of each block, in their order: the increments by the layer's name.
        iterate: Index, from 0, of the iterate whose weights they are: ``K - 1``.
        network: What the network is called in errors.
        identities: Of each block: some values of its weights, by which it is known again.
        tokens: Of each block: an object that it holds as long as its weights are those that it was given.
    """

    def __init__(
        self,
        blocks: Sequence[Mapping[str, Union[LowRankIncrement, DenseIncrement]]],
        iterate: int,
        network: str,
        identities: Sequence[Tensor],
        tokens: Sequence[Any] = (),
    ):
        self.blocks = tuple(dict(block) for block in blocks)
        self.iterate, self.network = iterate, network
        self.identities, self.tokens = tuple(identities), tuple(tokens)
        self.merged_pass: Any = None  # what passes of one network with them share, see merged_pass.py

    def __getstate__(self) -> dict:
        return {**self.__dict__, 'merged_pass': None}  # which holds the network

    def _increments(self) -> List[Any]:
        return [increment for block in self.blocks for increment in block.values()]

    def __len__(self) -> int:
        return len(self._increments()[0].per_sample)

    @property
    def dtype(self) -> torch.dtype:
        return self._increments()[0].per_sample.dtype

    @property
    def device(self) -> torch.device:
        return self._increments()[0].per_sample.device

    def __repr__(self) -> str:
        layers = [name or 'the block itself' for block in self.blocks for name in block]
        return (
            f'{type(self).__name__}({len(self)} samples, for {self.network}: {", ".join(layers)}; of iterate '
            f'{self.iterate + 1}; {self.dtype}, {self.device})'
        )

    def _mapped(self, per_sample: Callable, shared: Callable = lambda tensor: tensor) -> 'FastWeights':
        blocks = [{name: inc.mapped(per_sample, shared) for name, inc in block.items()} for block in self.blocks]
        return FastWeights(blocks, self.iterate, self.network, self.identities, self.tokens)

    def __getitem__(self, index: Union[int, slice, Sequence[int], Tensor]) -> 'FastWeights':
        """Those of some samples; an int gives one sample.

        Raises:
            IndexError: There is no such sample.
        """
        if isinstance(index, int) and not isinstance(index, bool):
            if not -len(self) <= index < len(self):
                raise IndexError(f'sample {index} of fast weights for {len(self)} samples')
            index = slice(index % len(self), index % len(self) + 1)
        elif not isinstance(index, slice):
            index = torch.as_tensor(index, device=self.device)
        return self._mapped(lambda tensor: tensor[index])

    def expand(self, samples: int) -> 'FastWeights':
        """Those of a single sample, for ``samples`` of them.

        Raises:
            ValueError: They are for several samples.
        """
        if len(self) != 1:
            raise ValueError(f'expand() is for fast weights of one sample, these are for {len(self)}; index them first')
        return self._mapped(lambda tensor: tensor.expand(samples, *tensor.shape[1:]))

    def mean(self) -> 'FastWeights':
        """The mean over the samples, as those of one sample."""
        return self._mapped(lambda tensor: tensor.mean(dim=0, keepdim=True))

    def detach(self) -> 'FastWeights':
        """The same without gradients."""
        return self._mapped(Tensor.detach, Tensor.detach)

    def without_history(self) -> 'FastWeights':
        """The same, through which no gradients reach what has written it; ``A``, a weight of ``h``, still gets them."""
        return self._mapped(Tensor.detach)

    def to(self, *args, **kwargs) -> 'FastWeights':
        """On another device or of another dtype, as :meth:`torch.Tensor.to`."""

        def move(tensor):
            return tensor.to(*args, **kwargs)

        return self._mapped(move, move)

    def dense(self) -> List[Dict[str, Tensor]]:
        """``W_K - W_1`` itself, of each block by the layer's name, ``[N, rows, fan_in]``."""
        return [{name: increment.dense() for name, increment in block.items()} for block in self.blocks]

    @property
    def are_of_one(self) -> bool:
        """Whether all samples have the same, being one, or one that was expanded."""
        return len(self) == 1 or all(increment.per_sample.stride(0) == 0 for increment in self._increments())

    def increments(self, block: int, layers: Mapping[str, Any]) -> List[Any]:
        """What the dynamic layers of a block add in one pass, in their order. Of one sample that is a whole weight."""
        own = self.blocks[block]
        if len(self) > 1:
            return [own[name].fresh() for name in layers]
        return [
            MergedIncrement(layer.weight + own[name].dense()[0].reshape(layer.weight.shape))
            for name, layer in layers.items()
        ]

    def norm(self) -> Tensor:
        """Frobenius norm over all layers, ``[N]``."""
        return torch.stack([increment.norm() for increment in self._increments()]).norm(dim=0)

    def distance(self, other: 'FastWeights') -> Tensor:
        """``||a - b|| / max(||a||, ||b||)`` for each sample, over all layers: 0 for the same, at most 2; ``[N]``.

        Raises:
            ValueError: Weights for another network or number of samples.
        """
        self._check_like(other)
        if len(self) != len(other):
            raise ValueError(f'other: fast weights for {len(other)} samples, these are for {len(self)}')
        squares = [a.distance(b).square() for a, b in zip(self._increments(), other._increments())]
        larger = torch.maximum(self.norm(), other.norm())
        return torch.stack(squares).sum(dim=0).sqrt() / larger.clamp(min=torch.finfo(larger.dtype).tiny)

    def _check_like(self, other: 'FastWeights') -> None:
        if not isinstance(other, FastWeights):
            raise ValueError(f'other must be FastWeights, got {type(other).__name__}')
        if [list(b) for b in self.blocks] != [list(b) for b in other.blocks] or not self.same_network(
            lambda: other.identities, other.tokens
        ):
            raise ValueError(f'other: fast weights for another network ({other.network}) than these ({self.network})')

    def same_network(self, identities: Callable[[], Sequence[Tensor]], tokens: Sequence[Any]) -> bool:
        """Whether a network is the one that wrote these: the same object, trained on or not, or one of equal weights,
        to what half precision leaves of them."""
        if self.tokens and len(self.tokens) == len(tokens) and all(a is b for a, b in zip(self.tokens, tokens)):
            return True
        others = identities()
        return len(self.identities) == len(others) and all(
            a.shape == b.shape and bool(((a - b.to(a.device)).abs() <= 0.02 * a.abs().clamp(min=1e-6)).all())
            for a, b in zip(self.identities, others)
        )

    @staticmethod
    def cat(parts: Sequence['FastWeights']) -> 'FastWeights':
        """Those of several batches of one network, sample after sample.

        Raises:
            ValueError: There are none, or they are of different networks or iterates, or ``h`` has been trained in
                between.
        """
        if not parts:
            raise ValueError('parts must be at least one FastWeights, got none')
        first = parts[0]
        for part in parts[1:]:
            first._check_like(part)
            if part.iterate != first.iterate:
                raise ValueError(f'parts: weights of iterates {first.iterate + 1} and {part.iterate + 1}')
        blocks: List[Dict[str, Any]] = []
        own: Sequence[Mapping[str, Any]] = first.blocks
        for index, block in enumerate(own):
            blocks.append(
                {name: increment.cat([p.blocks[index][name] for p in parts]) for name, increment in block.items()}
            )
        return FastWeights(blocks, first.iterate, first.network, first.identities, first.tokens)

    def save(self, path: Union[str, Path]) -> None:
        """Writes a safetensors file, whole or not at all.

        Raises:
            ImportError: safetensors is not installed; it comes with timm.
            OSError: It cannot be written.
        """
        with naming_extras():
            from safetensors.torch import save_file
        tensors: Dict[str, Tensor] = {}
        scales: List[Dict[str, float]] = [{} for _ in self.blocks]
        for index, block in enumerate(self.blocks):
            tensors[f'{index}/identity'] = self.identities[index]
            for name, increment in block.items():
                parts, scales[index][name] = increment.parts()
                tensors.update({f'{index}/{name}/{part}': tensor for part, tensor in parts.items()})
        own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        content = json.dumps({'network': self.network, 'iterate': self.iterate, 'blocks': scales})
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            save_file(own, part, {'format': _FORMAT, 'content': content})

    @classmethod
    def load(cls, path: Union[str, Path], device: Union[str, torch.device] = 'cpu') -> 'FastWeights':
        """What :meth:`save` wrote.

        Raises:
            ImportError: safetensors is not installed; it comes with timm.
            OSError: It cannot be read.
            ValueError: It is another kind of file, or broken.
        """
        with naming_extras():
            from safetensors import SafetensorError, safe_open
        with open(path, 'rb'):  # for an error that names it
            pass
        try:
            with safe_open(str(path), 'pt', str(device)) as file:
                information = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f'{path} is no safetensors file, or a broken one: {error}') from error
        if information.get('format') != _FORMAT:
            raise ValueError(f'{path} has no fast weights: it is another kind of safetensors file')
        try:
            content = json.loads(information['content'])
            blocks = []
            for index, scales in enumerate(content['blocks']):
                blocks.append({name: _of_parts(tensors, f'{index}/{name}/', scale) for name, scale in scales.items()})
            identities = [tensors[f'{index}/identity'] for index in range(len(blocks))]
            return cls(blocks, content['iterate'], content['network'], identities)
        except KeyError as error:
            raise ValueError(f'{path}: the fast weights are incomplete, {error} is missing') from error


def _of_parts(tensors: Mapping[str, Tensor], prefix: str, scale: float) -> Union[LowRankIncrement, DenseIncrement]:
    parts = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return (LowRankIncrement if 'rows' in parts else DenseIncrement).of_parts(parts, scale)
