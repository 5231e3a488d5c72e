"""Open, count and re-encode video files, with one bad file costing one file.

Videos are read with decord, the reader that training uses, and with PyAV.
What decord 0.6.0 does with damaged files was tried out:

- An ``.avi`` cut anywhere after its header opens without an error and simply
  has fewer frames, since decord counts the packets that it finds; frames of a
  packet cut in two are silently replaced by their neighbour.
- An ``.mp4`` whose index stands at the end does not open when cut; one whose
  index stands first opens and fails (or not) depending on the frame asked for.
- ``get_batch`` can spin for ever, holding the interpreter lock, where a file
  promises more frames than it has (https://github.com/dmlc/decord/issues/373),
  and a broken stream can end the process
  (https://github.com/dmlc/decord/issues/25).
- Not damage, but found the same way: `get_batch` fails on some frames narrower
  than 80 pixels (widths 16, 48 and 72 do, 32, 64 and 80 do not).

Hence `check_video` compares the size that the container declares with that of
the file (RIFF chunk sizes, ISO base media box sizes), decodes every frame with
PyAV to count them, and decodes the first, the middle and the last one with
decord; `run_isolated` calls it in processes that may die or be killed.
"""
import multiprocessing
import os
import signal
import struct
import time
from fractions import Fraction
from multiprocessing.connection import wait
from pathlib import Path

import av
import decord

TIMEOUT = 300.0  # seconds for one file, after which it counts as unreadable
ISO_BOXES = (b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide')
# Streams with packed B-frames hold a packet or two that show no new picture.
SPARE_PACKETS = 2


def declared_size(path):
    """Size in bytes that an AVI or MP4 file must have by its own account.

    Returns the end of the last top-level chunk or box, or None for any other
    container, or where the writer left the size open.
    """
    size, end = os.path.getsize(path), 0
    with open(path, 'rb') as file:
        head = file.read(12)
        riff = head[:4] == b'RIFF' and head[8:12] == b'AVI '
        if not riff and head[4:8] not in ISO_BOXES:
            return None
        while end + 8 <= size:
            file.seek(end)
            head = file.read(16)
            if riff:
                if head[:4] != b'RIFF':  # padding behind the movie
                    break
                length = struct.unpack('<I', head[4:8])[0]
                if not length:
                    return None
                length += 8
            else:
                length = struct.unpack('>I', head[:4])[0]
                if length == 1 and len(head) == 16:
                    length = struct.unpack('>Q', head[8:])[0]
                if length < 8:  # 0: up to the end of the file
                    return None
            end += length
    return end


def check_video(path):
    """Decode a video and count its frames.

    Args:
        path (str or Path): The file.

    Returns:
        int: Number of frames that can be decoded, at least 1.

    Raises:
        ValueError: The file is empty, cut short or cannot be decoded; the
            message is the reason.
    """
    size = os.path.getsize(path)
    if not size:
        raise ValueError('empty file (0 bytes)')
    declared = declared_size(path)
    if declared is not None and declared > size:
        raise ValueError(f'truncated: {size} of {declared} bytes')
    frames = count_frames(path)
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
        last = len(reader) - 1
        reader.get_batch([0, last // 2, last])
    except Exception as error:  # decord raises its own and plain RuntimeError
        raise ValueError(f'decord cannot read it: {brief(error)}') from None
    if frames < len(reader) - SPARE_PACKETS:
        raise ValueError(f'only {frames} of {len(reader)} frames decode')
    return frames


def count_frames(path):
    """Number of frames PyAV decodes; ValueError where it cannot."""
    frames = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError('no video stream')
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for _ in container.decode(stream):
                frames += 1
    except av.FFmpegError as error:
        raise ValueError(
            f'decoding fails after {frames} frames: {error.strerror}'
        ) from None
    if not frames:
        raise ValueError('no frames')
    return frames


def output_size(width, height, short_side):
    """Even (width, height) in pixels with the given short side."""
    scale = short_side / min(width, height)
    return tuple(
        max(2, 2 * round(side * scale / 2)) for side in (width, height))


def reencode_video(source, target, short_side):
    """Re-encode a video to H.264 in MP4 (CRF 20, no audio), atomically.

    Every decoded frame is kept, at the source's average frame rate: a variable
    rate becomes a constant one. A target that is readable, has the short side
    and the source's number of frames is kept as it is.

    Args:
        source (str or Path): Video to read; never written to.
        target (str or Path): File to write; its folder is made.
        short_side (int): Pixels of the shorter side, even and at least 2.

    Returns:
        int: Number of frames of the target.

    Raises:
        ValueError: Source or target cannot be decoded.
    """
    source, target = Path(source), Path(target)
    frames = check_video(source)
    if is_reencoded(target, short_side, frames):
        return frames
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + '.part')
    try:
        with av.open(str(source)) as reader, \
                av.open(str(partial), 'w', format='mp4') as writer:
            video = reader.streams.video[0]
            video.codec_context.thread_count = 1
            rate = Fraction(video.average_rate or 25).limit_denominator(1001)
            stream = writer.add_stream(
                'libx264', rate=rate, options={'crf': '20'})
            stream.codec_context.thread_count = 1
            stream.width, stream.height = output_size(
                video.width, video.height, short_side)
            stream.pix_fmt = 'yuv420p'
            for index, frame in enumerate(reader.decode(video)):
                frame = frame.reformat(
                    stream.width, stream.height, 'yuv420p',
                    interpolation='BICUBIC')
                frame.pts, frame.time_base = index, 1 / rate
                writer.mux(stream.encode(frame))
            writer.mux(stream.encode())
        check_reencoded(partial, short_side, frames)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return frames


def check_reencoded(path, short_side, frames):
    """ValueError unless a readable video of this short side and length."""
    try:
        found = check_video(path)
    except ValueError as error:
        raise ValueError(f're-encoded to {short_side}: {error}') from None
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        side = min(stream.width, stream.height)
    if (side, found) != (short_side, frames):
        raise ValueError(
            f're-encoded to short side {side} and {found} frames, expected '
            f'{short_side} and {frames}')


def is_reencoded(path, short_side, frames):
    """Whether `path` exists and passes `check_reencoded`."""
    try:
        check_reencoded(path, short_side, frames)
    except (OSError, ValueError):
        return False
    return True


def brief(error):
    """First line of an error's message, at most 160 characters."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]


def serve(connection, function):
    """Worker process: answer each received arguments tuple with a result."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends workers
    decord.logging.set_level(decord.logging.QUIET)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # codecs write to stderr
    connection.send(None)  # started
    while True:
        try:
            arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = (function(*arguments), None)
        except ValueError as error:
            answer = (None, brief(error))
        except Exception as error:
            answer = (None, f'{type(error).__name__}: {brief(error)}')
        connection.send(answer)


def run_isolated(function, tasks, workers=None, timeout=TIMEOUT, method='forkserver'):
    """Call a function for each task in processes that are allowed to die.

    A call that ends its process (a crash in native code) or outlasts `timeout`
    is a failure of that task alone; a fresh process goes on with the rest.
    After a death the task is tried once more, since a decoder's threads may
    crash only when the next task is already at work.
    `concurrent.futures` would give up all pending tasks at the first death and
    cannot end a hanging call.

    Args:
        function (callable): Importable by name from a new process.
        tasks (sequence of tuple): Positional arguments of each call.
        workers (int, optional): Processes; default: the processors at hand.
        timeout (float): Seconds for one call.
        method (str): How processes start, where the system has it (else
            `spawn`). Only with `fork` may a script without a guard of its
            main part call this.

    Yields:
        tuple: (index of the task, result or None, reason or None) in the order
        in which the calls end; the reason is a str where the call failed.

    Raises:
        ValueError: `workers` or `timeout` is not positive.
        RuntimeError: A worker process cannot be started at all.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(
            os, 'sched_getaffinity') else os.cpu_count()
    if workers < 1:
        raise ValueError(f'workers must be at least 1, not {workers}')
    if timeout <= 0:
        raise ValueError(f'timeout must be positive seconds, not {timeout}')
    # The package is imported once, by the server that the workers fork from.
    known = method in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context(method if known else 'spawn')
    if known and method == 'forkserver':
        context.set_forkserver_preload([__name__])
    waiting = list(reversed(range(len(tasks))))
    retried = set()
    running = {}  # connection -> [process, task or None, deadline]

    def start():
        connection, remote = context.Pipe()
        process = context.Process(
            target=serve, args=(remote, function), daemon=True)
        process.start()
        remote.close()
        running[connection] = [process, None, float('inf')]

    def stop(connection):
        process = running.pop(connection)[0]
        process.kill()
        process.join()
        connection.close()

    try:
        for _ in range(min(workers, len(tasks))):
            start()
        while running:
            # Every 0.5 s is often enough to look at deadlines.
            for connection in wait(list(running), 0.5):
                process, task, _ = running[connection]
                try:
                    answer = connection.recv()
                except (EOFError, ConnectionError):
                    process.join()
                    stop(connection)
                    if task is None:
                        raise RuntimeError(
                            'a worker process ended before its first task '
                            f'(exit code {process.exitcode}); scripts must '
                            "call this under `if __name__ == '__main__':`")
                    again = task not in retried
                    if again:
                        retried.add(task)
                        waiting.append(task)
                    if waiting:
                        start()
                    if not again:
                        yield task, None, (
                            f'the reading process died (exit code '
                            f'{process.exitcode})')
                    continue
                if waiting:
                    following = waiting.pop()
                    running[connection][1:] = (
                        following, time.monotonic() + timeout)
                    try:
                        connection.send(tasks[following])
                    except ConnectionError:
                        pass  # it has died: the next `recv` says so
                else:
                    stop(connection)
                if task is not None:
                    yield task, *answer
            for connection, (_, task, deadline) in list(running.items()):
                if time.monotonic() > deadline:
                    stop(connection)
                    if waiting:
                        start()
                    yield task, None, f'no answer within {timeout:g} s'
    finally:
        for connection in list(running):
            stop(connection)
