"""Predictions of files by a network of timm's names, without OpenMMLab."""

from argparse import Namespace
from pathlib import Path
from typing import Callable, Optional, Sequence, Tuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kaizen_mm.arguments import check_int
from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.data.pictures import read_picture
from kaizen_mm.data.video_readers import FrameReader, open_video
from kaizen_mm.extras import naming_extras
from kaizen_mm.inference import Predictor, class_names
from kaizen_mm.models.convert import without_prefix
from kaizen_mm.surgery.weights_check import check_trained_weights, num_iterations
from kaizen_mm.weights import PREFIX, network_names, read_weights

with naming_extras():
    import timm
    from timm.data import create_transform, resolve_model_data_config

    import kaizen_mm.timm_names  # noqa: F401  its names


class TimmPredictor(Predictor):
    """A network of one of timm's names, of ours among them, with the weights of a file.

    Images are scaled and cropped as timm's own scripts do it. Of a video, clips of the network's frames are taken
    evenly over its length; their short side is scaled to the network's, the middle is cropped.

    Args:
        name: As for ``timm.create_model``.
        weights: A state dict, a checkpoint of timm's ``train.py``, or ``kaizen_mm::NAME`` for weights that the package
            brings.
        labels: A file with one class name a line. Where the checkpoint tells the trained names, they must be the same.
            Default what the checkpoint tells, or else numbers.
        device: Default a GPU where there is one.
        num_clips: Of a video. Default 10.
        frame_interval: Frames from one frame of a clip to the next. Default 2.
        model: Further arguments of ``timm.create_model``: those that the network was trained with, such as
            ``num_classes``, ``img_size``, ``num_iterations``.

    Attributes:
        after_clip: Called with the K logits ``[1, classes]`` of each clip, or image, right after its forward pass.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged; the weights are of another network or another ``K``, or ``labels`` names
            other classes or another number of them.
    """

    after_clip: Optional[Callable[[Sequence[Tensor]], None]] = None

    def __init__(
        self,
        name: str,
        weights: str | Path,
        labels: Optional[str | Path] = None,
        device: Optional[str | torch.device] = None,
        num_clips: int = 10,
        frame_interval: int = 2,
        **model,
    ):
        check_int('num_clips', num_clips)
        check_int('frame_interval', frame_interval)
        own = read_weights(str(weights)) if str(weights).startswith(PREFIX) else None
        if own is None and not Path(weights).is_file():
            raise FileNotFoundError(f'no weights file {weights}')
        self.dataset_meta = _dataset_meta(weights) if own is None else dict(classes=own.card['classes'])
        self.network = timm.create_model(name, **model)
        state_dict = without_prefix(timm.models.load_state_dict(str(weights)) if own is None else own.state_dict)
        state_dict = network_names(state_dict)
        check_trained_weights(self.network, state_dict, source=f'weights {weights}')
        self.network.load_state_dict(state_dict, strict=False)  # counts of batches may be missing
        self.device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.network.to(self.device).eval()
        self.num_iterations = num_iterations(self.network)
        self.names = class_names(self.network.num_classes, labels, self.dataset_meta.get('classes'))
        self.num_clips, self.frame_interval = num_clips, frame_interval
        self.size = _input_size(self.network, model)
        self.kind = 'video' if len(self.size) == 3 else 'image'
        settings = {key: self.network.pretrained_cfg[key] for key in ('mean', 'std')}
        self._mean, self._std = (torch.tensor(settings[key]).view(-1, 1, 1, 1) for key in ('mean', 'std'))
        if self.kind == 'image':
            channels = self.network.pretrained_cfg['input_size'][0]
            config = resolve_model_data_config(self.network, dict(input_size=(channels, *self.size)))
            self._transform = create_transform(**config, is_training=False)

    @property
    def span(self) -> int:
        return (self.size[0] - 1) * self.frame_interval + 1 if self.kind == 'video' else 1

    def _probabilities(self, source: Path | np.ndarray) -> np.ndarray:
        decoded = isinstance(source, np.ndarray)
        if self.kind == 'image':
            inputs = self._image(source)
        elif decoded:
            inputs = self._clips(FrameReader(source), self.num_clips if len(source) > self.span else 1)
        else:
            inputs = self._clips(open_video(source, self._video_reader), self.num_clips)
        forward = getattr(self.network, 'forward_iterates', lambda x: (self.network(x),))
        # one pass for all clips of frames, which have fast weights of their own; of a file one after the other
        batches = []
        for x in [inputs] if decoded else inputs.split(1):
            iterates = forward(x.to(self.device))
            if self.after_clip is not None:
                self.after_clip(iterates)
            batches.append(torch.stack(tuple(iterates)))
        return torch.cat(batches, dim=1).double().softmax(dim=2).cpu().numpy()  # [K, clips, classes]

    def _image(self, source) -> Tensor:
        picture = Image.fromarray(source[0]) if isinstance(source, np.ndarray) else read_picture(source)
        return self._transform(picture)[None]

    def _clips(self, reader, count) -> Tensor:
        """Normalized clips ``[count, 3, T, H, W]``."""
        frames, height, width = self.size
        starts = np.linspace(0, max(len(reader) - self.span, 0), count).round().astype(int)
        indices = (starts[:, None] + self.frame_interval * np.arange(frames)) % len(reader)  # short videos are looped
        used, inverse = np.unique(indices, return_inverse=True)
        pixels = [_cropped(frame, height, width) for frame in reader.get_batch(used.tolist()).asnumpy()]
        video = torch.from_numpy(np.stack(pixels)).permute(3, 0, 1, 2).float() / 255  # [3, used, H, W]
        if len(self._mean) == 1:  # of gray videos the green channel is all that there is
            video = video[1:2]
        video = (video - self._mean) / self._std
        return video[:, torch.from_numpy(inverse.reshape(indices.shape))].transpose(0, 1)


def _dataset_meta(weights: str | Path) -> dict:
    """What a checkpoint of OpenMMLab tells of the data that it was trained on; others tell nothing."""
    with torch.serialization.safe_globals([Namespace]):  # arguments in checkpoints of timm's train.py
        meta = read_checkpoint(weights).get('meta')
    return (meta.get('dataset_meta') or {}) if isinstance(meta, dict) else {}


def _input_size(network, arguments: dict) -> Tuple[int, ...]:
    """``(H, W)`` or ``(T, H, W)`` that a network takes: ours say it, others were told or have timm's default."""
    own = getattr(network, 'input_size', None)
    if own is not None:
        return tuple(own)
    size = arguments.get('img_size')
    if size is None:
        return tuple(network.pretrained_cfg['input_size'][1:])
    return (size, size) if isinstance(size, int) else tuple(size)


def _cropped(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """A frame scaled so that it covers a size, and cropped to it in the middle."""
    scale = max(height / frame.shape[0], width / frame.shape[1])
    size = [max(side, round(scale * s)) for side, s in zip((height, width), frame.shape[:2])]
    scaled = np.asarray(Image.fromarray(frame).resize(size[::-1], Image.Resampling.BILINEAR))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return scaled[top : top + height, left : left + width]
