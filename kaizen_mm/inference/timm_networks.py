"""Predictions of files by a network of timm's names, without OpenMMLab."""

from pathlib import Path
from typing import Optional, Tuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kaizen_mm.arguments import check_int
from kaizen_mm.checkpoint_files import verify_checkpoint
from kaizen_mm.data.video_readers import open_video
from kaizen_mm.extras import naming_extras
from kaizen_mm.inference import Predictor, class_names
from kaizen_mm.models.convert import without_prefix
from kaizen_mm.models.weights_check import check_trained_weights, num_iterations

with naming_extras():
    import timm
    from timm.data import create_transform, resolve_model_data_config

    import kaizen_mm.timm_models  # noqa: F401  its names


class TimmPredictor(Predictor):
    """A network of one of timm's names, of ours among them, with the weights of a file.

    Images are scaled and cropped as timm's own scripts do it. Of a video, clips of the network's frames are taken
    evenly over its length; their short side is scaled to the network's, the middle is cropped.

    Args:
        name: As for ``timm.create_model``.
        weights: A state dict, or a checkpoint of timm's ``train.py``.
        labels: A file with one class name a line; default numbers.
        device: Default a GPU where there is one.
        num_clips: Of a video. Default 10.
        frame_interval: Frames from one frame of a clip to the next. Default 2.
        model: Further arguments of ``timm.create_model``: those that the network was trained with, such as
            ``num_classes``, ``img_size``, ``num_iterations``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged; the weights are of another network or another ``K``, or ``labels`` names
            another number of classes.
    """

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
        if not Path(weights).is_file():
            raise FileNotFoundError(f'no weights file {weights}')
        verify_checkpoint(weights)
        self.network = timm.create_model(name, **model)
        state_dict = without_prefix(timm.models.load_state_dict(str(weights)))
        check_trained_weights(self.network, state_dict, source=f'weights {weights}')
        self.network.load_state_dict(state_dict, strict=False)  # counts of batches may be missing
        self.device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.network.to(self.device).eval()
        self.num_iterations = num_iterations(self.network)
        self.names = class_names(self.network.num_classes, labels)
        self.num_clips, self.frame_interval = num_clips, frame_interval
        self.size = _input_size(self.network, model)
        self.kind = 'video' if len(self.size) == 3 else 'image'
        settings = {key: self.network.pretrained_cfg[key] for key in ('mean', 'std')}
        self._mean, self._std = (torch.tensor(settings[key]).view(3, 1, 1, 1) for key in ('mean', 'std'))
        if self.kind == 'image':
            channels = self.network.pretrained_cfg['input_size'][0]
            config = resolve_model_data_config(self.network, dict(input_size=(channels, *self.size)))
            self._transform = create_transform(**config, is_training=False)

    def _probabilities(self, path: Path) -> np.ndarray:
        inputs = self._clips(path) if self.kind == 'video' else self._image(path)
        forward = getattr(self.network, 'forward_iterates', lambda x: (self.network(x),))
        # [K, clips, 1, classes]
        logits = torch.stack([torch.stack(forward(x[None].to(self.device))) for x in inputs], dim=1)
        return logits.squeeze(2).double().softmax(dim=2).cpu().numpy()

    def _image(self, path) -> Tensor:
        with Image.open(path) as image:
            return self._transform(image.convert('RGB'))[None]

    def _clips(self, path) -> Tensor:
        """Normalized clips ``[clips, 3, T, H, W]``."""
        reader = open_video(path)
        frames, height, width = self.size
        span = (frames - 1) * self.frame_interval + 1
        starts = np.linspace(0, max(len(reader) - span, 0), self.num_clips).round().astype(int)
        indices = (starts[:, None] + self.frame_interval * np.arange(frames)) % len(reader)  # short videos are looped
        used, inverse = np.unique(indices, return_inverse=True)
        pixels = [_cropped(frame, height, width) for frame in reader.get_batch(used.tolist()).asnumpy()]
        video = torch.from_numpy(np.stack(pixels)).permute(3, 0, 1, 2).float() / 255  # [3, used, H, W]
        video = (video - self._mean) / self._std
        return video[:, torch.from_numpy(inverse.reshape(indices.shape))].transpose(0, 1)


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
