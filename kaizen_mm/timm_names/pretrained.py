"""Files that timm is told to take weights from, looked at before it reads them."""

from pathlib import Path

from timm.models import PretrainedCfg

from kaizen_mm.checkpoint_files import verify_checkpoint

_WEIGHTS = ('*.bin', '*.pt', '*.pth')


def verify_pretrained(cfg: PretrainedCfg) -> None:
    """Compares the checksums of the file, or of those in the folder, that a network is to get its weights from.

    A folder is what ``timm.models.save_for_hf`` writes and ``local-dir:FOLDER`` reads. Safetensors have no checksums.

    Raises:
        ValueError: A file is damaged or cut off; it is named.
    """
    if not cfg.file:
        return
    path = Path(cfg.file)
    for file in [path] if path.is_file() else [file for pattern in _WEIGHTS for file in sorted(path.glob(pattern))]:
        verify_checkpoint(file)
