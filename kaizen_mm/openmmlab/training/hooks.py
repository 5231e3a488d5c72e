"""Hooks that training and testing of recurrent networks need."""

from typing import Optional

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from kaizen_mm.arguments import check_flag, check_int
from kaizen_mm.introspection import WEIGHT_CHANGE, logit_changes, prediction_changes
from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.layers.first_weights import untrained_first_weights
from kaizen_mm.models.convert import RELEASES, release_of
from kaizen_mm.openmmlab.class_names import check_classes_of_checkpoint, check_classes_of_data, is_built
from kaizen_mm.openmmlab.processes import unwrapped
from kaizen_mm.openmmlab.training.foreign_names import HEADS, rename_for
from kaizen_mm.openmmlab.training.pretrained import without_weights_for
from kaizen_mm.openmmlab.training.runner import check_runner
from kaizen_mm.surgery.weights_check import num_iterations, trained_iterations, weights_difference


@HOOKS.register_module()
class RecurrenceHook(Hook):
    """Logs what the iterations change, at least once an epoch, and warns after an epoch in which they changed nothing.

    For iterates i = 2..K, mean over samples: ``iterate_i_weight_change``, that is ``||W_i - W_1|| / ||W_1||``, mean
    over layers, with the block's name in between where there are several blocks; ``iterate_i_logit_change`` and
    ``iterate_i_prediction_change``, see :mod:`kaizen_mm.introspection`, where the head is one of ours. In training
    the logits differ by their dropout as well.

    Args:
        interval: Training iterations of an epoch from one value to the next; the last one of an epoch always gives one.
            Default 10.

    Raises:
        ValueError: ``interval`` is no int of at least 1.
    """

    def __init__(self, interval: int = 10):
        check_int('interval', interval)
        self.interval = interval
        self._changes = []  # the largest change of a weight, of each iteration looked at in this epoch

    def before_run(self, runner) -> None:
        check_runner(runner)

    def before_train_epoch(self, runner) -> None:
        self._changes = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if not (
            self.every_n_inner_iters(batch_idx, self.interval)
            or self.is_last_train_iter(runner)
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
        ):
            return
        model = unwrapped(runner.model)
        blocks = [(n, b) for n, b in recurrent_blocks(model) if b.num_iterations > 1]
        for name, block in blocks:
            path = '' if len(blocks) == 1 else f'{name}/'
            changes = block.weight_change()
            self._changes.append(changes.max().item())
            self._log(runner, f'{path}iterate_{{}}_weight_change', changes.mean(dim=(1, 2)))
        head = getattr(model, 'cls_head', None) or getattr(model, 'head', None)
        scores = getattr(head, 'last_scores', ())
        if blocks and len(scores) > 1:
            self._log(runner, 'iterate_{}_logit_change', logit_changes(scores).mean(dim=1))
            self._log(runner, 'iterate_{}_prediction_change', prediction_changes(scores).float().mean(dim=1))

    def after_train_epoch(self, runner) -> None:
        if self._changes and max(self._changes) < WEIGHT_CHANGE:
            if max(self._changes) == 0:
                why = (
                    'h reads zeros, or gives zeros, or alpha is 0: recurrence_report tells which (docs/any_network.md)'
                )
            else:
                why = (
                    'Raise the rate of h (lr_mult of "adapter" in paramwise_cfg) or alpha, or give h an optimizer '
                    'like Adam'
                )
            runner.logger.warning(
                'the recurrence does nothing: in this epoch no iteration changed a weight by more than '
                f'{max(self._changes):.1g} of its norm. All iterates are the same network. {why}'
            )

    @staticmethod
    def _log(runner, name, values):
        for i, value in enumerate(values, start=2):
            runner.message_hub.update_scalar(f'train/{name.format(i)}', value.item())


@HOOKS.register_module()
class CheckpointCheckHook(Hook):
    """Refuses a checkpoint of another architecture before anything of it is loaded.

    mmengine loads what fits and only warns of the rest. Here the checkpoint must have every tensor of the model, in its
    shape, under its name or that of the network alone, as in files of timm and torchvision
    (:mod:`~kaizen_mm.openmmlab.training.foreign_names`). Only what phase two adds (adapters, statistics of later
    iterates) may be missing. The classes that it was trained with must be those of the data that it is tested or
    trained on, where both tell them. Validation and test data must have the classes of the training data. What is saved
    says with how many iterations the network was trained, as ``num_iterations`` in its ``meta``. A test with another
    number warns, and so does a training, unless it is phase two from a plain network.

    Args:
        new_classifier: Whether a training may start from a network of other classes. Tensors of the head that are
            missing, or of which the number of classes alone differs, are then left out, by name and with a message,
            rather than refused. Default False.

    Raises:
        ValueError: A tensor is missing or of another shape, or the classes differ.
    """

    def __init__(self, new_classifier: bool = False):
        check_flag('new_classifier', new_classifier)
        self.new_classifier = new_classifier
        self._trained_iterations = None  # K of the checkpoint that was loaded last

    def before_run(self, runner) -> None:
        check_runner(runner)
        check_classes_of_data(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        checkpoint['meta']['num_iterations'] = num_iterations(unwrapped(runner.model))

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        state_dict = checkpoint.get('state_dict', checkpoint)
        if not all(isinstance(v, torch.Tensor) for v in state_dict.values()):
            raise ValueError('the checkpoint has no state dict: neither "state_dict" nor tensors by name')
        model = unwrapped(runner.model)
        renamed = None if release_of(state_dict) else rename_for(model, state_dict)
        if renamed:
            runner.logger.info(renamed)
        self._trained_iterations = trained_iterations(state_dict, checkpoint.get('meta') or {})
        difference = weights_difference(model, state_dict)
        if self.new_classifier:
            left_out = self._leave_out_classifier(runner, difference.shapes, state_dict)
            difference = difference._replace(
                shapes={k: v for k, v in difference.shapes.items() if k not in left_out},
                missing=self._missing_but_the_classifier(runner, difference.missing),
            )
            own = model.state_dict()
            for name in sorted(own.keys() - state_dict.keys()):
                if (
                    name.startswith(HEADS) and f'module.{name}' not in state_dict
                ):  # the classifier that starts anew, so that nothing is missing
                    state_dict[name] = own[name].clone()
        if difference.missing or difference.shapes:
            raise ValueError(
                f'the checkpoint is of another architecture: {difference}. {_conversion(runner, state_dict)}It must '
                'come from the same network. To start from weights that fit in part, use init_cfg. To fine-tune one of '
                'other classes in phase one, use phase_one.load_from with new_classifier=True of CheckpointCheckHook'
            )
        check_classes_of_checkpoint(runner, checkpoint.get('meta') or {}, self.new_classifier)
        if is_built(runner, 'train') and self._trained_iterations != 1:  # else phase two begins, as it is meant to
            self._warn_of_other_iterations(
                runner, 'trained', 'its h is left out' if num_iterations(model) == 1 else 'training starts from its h'
            )

    def after_train(self, runner) -> None:
        self._trained_iterations = None  # what was loaded has been trained since

    def before_test(self, runner) -> None:
        self._warn_of_other_iterations(
            runner, 'tested', 'its h is not trained' if self._trained_iterations == 1 else None
        )

    def _warn_of_other_iterations(self, runner, use: str, what_of_h: Optional[str]) -> None:
        ours, theirs = num_iterations(unwrapped(runner.model)), self._trained_iterations
        if theirs not in (None, ours):
            runner.logger.warning(
                f'The checkpoint was trained with {theirs} iterations, the network that is {use} has '
                f'num_iterations={ours}' + (f'; {what_of_h}' if what_of_h else '')
            )

    @staticmethod
    def _missing_but_the_classifier(runner, missing):
        rest = [name for name in missing if not name.startswith(HEADS)]
        if len(rest) < len(missing) and not rest:
            runner.logger.info('The checkpoint has no classifier: it starts anew')
            return rest
        return missing

    @staticmethod
    def _leave_out_classifier(runner, shapes, state_dict):
        left_out = {
            name: theirs for name, (theirs, ours) in shapes.items() if name.startswith(HEADS) and theirs[1:] == ours[1:]
        }
        for name in left_out:
            for key in (name, f'module.{name}'):
                state_dict.pop(key, None)
        if left_out:
            names = ', '.join(f'{name} {shape}' for name, shape in left_out.items())
            runner.logger.info(
                f'The checkpoint is of {next(iter(left_out.values()))[0]} classes: its classifier is left '
                f'out and starts anew ({names})'
            )
        return left_out


@HOOKS.register_module()
class FirstWeightsHook(Hook):
    """Refuses to train a network whose ``W_1`` is frozen at values that nothing has trained.

    However phase two gets the weights of phase one (``load_from``, ``phase_one``, ``init_cfg``, ``pretrained``,
    resuming), they are there before the first iteration.

    Raises:
        ValueError: They are not, and no hook has ``allow_untrained=True``.
    """

    def before_train(self, runner) -> None:
        names = untrained_first_weights(unwrapped(runner.model))
        if names and not any(getattr(hook, 'allow_untrained', False) for hook in runner.hooks):
            raise ValueError(
                f'W_1 of {", ".join(names)} is frozen, but its weights were never loaded: they would stay random. '
                f'{without_weights_for(unwrapped(runner.model))}Set '
                'load_from or init_cfg to a checkpoint of the trained plain network, or phase_one to its settings; or '
                'freeze_dynamic=False, which trains W_1 too; or allow_untrained=True of PhaseOneHook'
            )


def _conversion(runner, state_dict):
    """What to run where the checkpoint is a published one under its own names."""
    kind = release_of(state_dict)
    if kind is None:
        return ''
    source, prefix = runner._load_from or 'FILE', RELEASES[kind].prefix
    command = f'python tools/convert_checkpoint.py {kind} {source} converted.pth'
    use = (
        'load_from=converted.pth'
        if prefix
        else "model.backbone.init_cfg=dict(type='Pretrained', checkpoint='converted.pth')"
    )
    return f'It is {RELEASES[kind].title}: run "{command}{f" --prefix {prefix}" if prefix else ""}" and set {use}. '
