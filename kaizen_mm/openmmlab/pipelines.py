"""Steps of data pipelines that stand for others."""

from typing import Any

_OF_BYTES = ('DecordInit', 'mmaction.DecordInit')


def read_by_path(entries: Any) -> Any:
    """Entries of a config, in which ``VideoInit``, which opens local files by their path, stands for ``DecordInit``.

    mmaction2 1.2.0 hands decord the bytes of the file. With decord 0.6.0 a truncated ``.avi`` then ends the process
    with a segmentation fault (https://github.com/dmlc/decord/issues/25), and a pipe is waited for without end.

    Args:
        entries: A step, a pipeline, or whatever has pipelines in it, such as a data set. It stays as it is.
    """
    if type(entries) in (list, tuple):
        return type(entries)(map(read_by_path, entries))
    if not isinstance(entries, dict):
        return entries
    if entries.get('type') in _OF_BYTES and entries.get('io_backend', 'disk') == 'disk':
        options = {key: value for key, value in entries.items() if key not in ('type', 'io_backend')}
        return dict(type='mmaction.VideoInit', **options) if set(options) <= {'num_threads'} else entries
    return type(entries)({key: read_by_path(value) for key, value in entries.items()})
