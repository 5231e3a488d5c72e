"""The page on the architecture tells what the source does."""

import os
import re
import sys

import pytest

from tests.conftest import ROOT
from tests.docs import rooms
from tests.docs.test_developers import imported

PAGE = (ROOT / 'docs' / 'architecture.md').read_text(encoding='utf-8')


def test_the_drawing_is_that_of_the_imports():
    assert rooms.FILE.read_text(encoding='utf-8') == rooms.svg(), 'python -m tests.docs.rooms'


def test_arrows_lead_to_all_that_a_room_imports_and_to_nothing_else():
    arrows = rooms.direct_imports()

    def reached(room):
        return arrows[room].union(*(reached(other) for other in arrows[room]))

    for room, direct in arrows.items():
        there = set(imported(room)) & set(arrows) - {room}
        assert direct <= there <= reached(room), room


@pytest.mark.slow
def test_a_training_takes_the_steps_of_the_page_in_their_order(tiny_configs, digits, tmp_path, monkeypatch):
    steps = re.findall(r'^\d+\. `([\w/]+\.py)` `(\w+)`', PAGE, flags=re.MULTILINE)
    assert len(steps) == len(re.findall(r'^\d+\. ', PAGE, flags=re.MULTILINE)) > 15
    monkeypatch.setenv('KAIZEN_LIST_ROOT', str(digits))
    monkeypatch.setenv('KAIZEN_LIST_CLASSES', '8')
    monkeypatch.chdir(tmp_path)
    package, calls = f'{ROOT / "kaizen_mm"}{os.sep}', []

    def profile(frame, event, argument):
        code = frame.f_code
        if event == 'call' and code.co_filename.startswith(package):
            call = (code.co_filename[len(package) :].replace(os.sep, '/'), code.co_name)
            if call in steps:
                calls.append(call)

    from kaizen_mm.commands.train import main

    short = ['train_cfg.max_epochs=1', 'phase_one.train_cfg.max_epochs=1']
    here = ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
    sys.setprofile(profile)
    try:
        main([str(tiny_configs / 'kaizen.py'), '--work-dir', 'work', '--cfg-options', *short, *here])
    finally:
        sys.setprofile(None)
    following = iter(calls)
    for number, step in enumerate(steps, start=1):
        assert step in following, f'step {number} of docs/architecture.md, {step}, is not there after the one before'
