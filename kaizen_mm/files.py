"""Files that are written whole or not at all."""
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterable, Iterator


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a name to write to; ``path`` appears at the end, whole or not."""
    part = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a text file whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')
