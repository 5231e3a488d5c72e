"""Every shell line of README and docs is run, page by page, as it is printed."""

import os
import shutil
import subprocess

import pytest

from tests.docs import programs, world
from tests.docs.pages import PAGES, blocks

# the programs of the pages come before those of the machine, which has no other Python in these folders
MACHINE = '/usr/bin:/bin'


@pytest.mark.slow
@pytest.mark.parametrize('page', [page for page in PAGES if blocks(page, 'bash')], ids=str)
def test_the_shell_lines_of_a_page_run(page, warm, reader, tmp_path):
    folder = tmp_path / 'home'
    shutil.copytree(reader, folder, symlinks=True)
    programs.clone(folder, warm)
    world.MORE.get(page.name, lambda folder: None)(folder)
    script = "PS4='+ $SECONDS s: '\n" + '\n'.join(
        f'echo "##### {block}" >&2\n{block.text}' for block in blocks(page, 'bash')
    )
    environment = {
        'PATH': f'{warm}:{MACHINE}',
        'HOME': str(tmp_path),
        'TMPDIR': str(tmp_path),
        'LANG': 'C.UTF-8',
        'OMP_NUM_THREADS': '1',
        'PYTHONWARNINGS': 'ignore',
        'WANDB_MODE': 'offline',
        'WANDB_SILENT': 'true',
        **{key: os.environ[key] for key in ('LD_LIBRARY_PATH',) if key in os.environ},
    }
    done = subprocess.run(
        ['bash', '-eux', '-o', 'pipefail', '-c', script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=1800,
    )
    output = done.stdout.decode(errors='replace')
    assert done.returncode == 0, output[-6000:]
