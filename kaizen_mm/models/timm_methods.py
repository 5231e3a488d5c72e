"""What timm expects of a network beyond its forward; needs torch alone."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Set, Tuple, Union

from torch import Tensor, nn

from kaizen_mm.arguments import check_choice, check_flag, check_int, is_int
from kaizen_mm.layers.pooling import channels_last_on_cpu

STAGES = ('conv1', 'conv2', 'conv3', 'conv4', 'conv5')
GLOBAL_POOLS = ('avg', 'max', 'avgmax', '')

if TYPE_CHECKING:
    _Network = nn.Module
else:
    _Network = object  # a mixin


class TimmMethods(_Network):
    """Methods of :class:`~kaizen_mm.models.MFNet`, with timm's names and arguments."""

    if TYPE_CHECKING:
        recurrent_block: Any
        global_pool: str
        tail: Any
        maxpool: nn.Module
        feature_info: List[Dict[str, Any]]
        _num_iterations: Optional[int]

        def _run(self, name: str, x: Any) -> Any: ...

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: Optional[str] = None) -> None:
        """Puts a fresh classifier in place.

        Args:
            num_classes: 0 for none.
            global_pool: As at construction; None (default) changes nothing.

        Raises:
            ValueError: As at construction.
        """
        pool = self.global_pool if global_pool is None else global_pool
        check_head(num_classes, pool)
        like = next(self.parameters())
        self.num_classes, self.global_pool = num_classes, pool
        self.classifier = make_classifier(self.head_hidden_size, num_classes).to(like.device, like.dtype)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether units compute their activations again in the backward pass, which saves memory; a
        recurrent unit does so as a whole. Gradients and running statistics stay the same."""
        self.grad_checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> Dict:
        """Patterns that lay the names of parameters into groups, for a learning rate per layer; one
        group a unit, or with ``coarse`` one a stage."""
        return dict(
            stem=r'^conv1\.',
            blocks=[(r'^conv([2-5])\.' if coarse else r'^conv([2-5])\.B(\d+)\.', None), (r'^tail\.', (99999,))],
        )

    def no_weight_decay(self) -> Set[str]:
        """Names of the parameters of ``h``: they are no weights but make increments of weights."""
        block = self.recurrent_block
        own = {id(p) for p in block.adapter.parameters()} if hasattr(block, 'adapter') else set()
        return {name for name, parameter in self.named_parameters() if id(parameter) in own}

    def forward_intermediates(
        self,
        x: Tensor,
        indices: Union[int, Sequence[int], None] = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = 'NCHW',
        intermediates_only: bool = False,
    ) -> Union[List[Tensor], Tuple[Tensor, List[Tensor]]]:
        """The maps after the stem and after each of the four stages. The last one of a recurrent network
        is its last iterate's.

        Args:
            x: Input.
            indices: Which of the five maps: the last n for an int, all for None (default).
            norm: Whether the last map is taken after the tail's norm and ReLU. Default False.
            stop_early: Whether stages beyond the last wanted one are left out. Default False.
            output_fmt: ``'NCHW'``, which in 3D stands for ``[N, C, T, H, W]``.
            intermediates_only: Whether to give the maps alone. Default False.

        Returns:
            The output of :meth:`forward_features` (of the last stage that was run, with ``stop_early``),
            and the list of maps, in the order of the stages.

        Raises:
            ValueError: An argument that cannot be used, named with what would be accepted.
        """
        check_choice('output_fmt', output_fmt, ('NCHW',))
        for name, value in (('norm', norm), ('stop_early', stop_early), ('intermediates_only', intermediates_only)):
            check_flag(name, value)
        take = take_indices(indices)
        maps: Dict[int, Tensor] = {}
        x = channels_last_on_cpu(x)
        for index, name in enumerate(STAGES):
            if stop_early and index > max(take):
                break
            x = self._run(name, self.maxpool(x) if index == 1 else x)
            maps[index] = x[-1] if isinstance(x, tuple) else x
        if 4 in maps and (norm or not intermediates_only):
            x = self.tail(x)
            x = x[-1] if isinstance(x, tuple) else x
            if norm:
                maps[4] = x
        taken = [maps[index] for index in sorted(take)]
        return taken if intermediates_only else (x, taken)

    def prune_intermediate_layers(
        self, indices: Union[int, Sequence[int], None] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> List[int]:
        """Removes what :meth:`forward_intermediates` does not need for some maps.

        Args:
            indices: As there.
            prune_norm: Whether the tail goes as well. Default False.
            prune_head: Whether the classifier and the pooling go as well. Default True.

        Returns:
            The indices of the maps, none negative.
        """
        take = take_indices(indices)
        end = max(take)
        if prune_norm or end < 4:
            self.tail = nn.Identity()
        if end < 4:
            self.is_recurrent, self._num_iterations = False, None
            self.num_features = self.head_hidden_size = self.feature_info[end]['num_chs']
        for name in STAGES[end + 1 :]:
            setattr(self, name, nn.Identity())
        if end == 0:
            self.maxpool = nn.Identity()
        if prune_head or end < 4:
            self.reset_classifier(0, '')
        return take


def take_indices(indices: Union[int, Sequence[int], None], count: int = len(STAGES)) -> List[int]:
    """Which of ``count`` maps: None for all, an int for the last n, or ints, negative ones from the end."""
    if indices is None:
        indices = count
    if isinstance(indices, int) and is_int(indices):
        if not 0 < indices <= count:
            raise ValueError(f'indices must be at most the {count} maps that there are and at least 1, got {indices}')
        return list(range(count - indices, count))
    if (
        not isinstance(indices, (tuple, list))
        or not indices
        or not all(is_int(i) and -count <= i < count for i in indices)
    ):
        raise ValueError(f'indices must be ints from {-count} to {count - 1}, at least one, got {indices!r}')
    return [i % count for i in indices]


def check_head(num_classes: int, global_pool: str) -> None:
    """Raises ValueError unless a classifier can be built."""
    check_int('num_classes', num_classes, 0)
    check_choice('global_pool', global_pool, GLOBAL_POOLS)
    if num_classes and not global_pool:
        raise ValueError(
            f"global_pool='' keeps the map and needs num_classes=0, got num_classes={num_classes}; "
            f'with a classifier it must be one of {GLOBAL_POOLS[:-1]}'
        )


def make_classifier(channels: int, num_classes: int) -> nn.Module:
    """A linear layer, Xavier's normal initialization and no bias to begin with; the identity for 0 classes."""
    if num_classes == 0:
        return nn.Identity()
    classifier = nn.Linear(channels, num_classes)
    nn.init.xavier_normal_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    return classifier
