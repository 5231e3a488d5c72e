"""The wheel in an empty environment, used from a folder that is not the repository: ``make smoke``.

Builds the sdist and the wheel from it, installs the wheel into a new environment that finds the packages of this one
(nothing is downloaded), and there imports, trains both phases on small data and predicts. Takes a minute or two.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

from tests.conftest import ROOT, write_mnist

FIRST_STEPS = """
import importlib.metadata, pathlib, sys
import kaizen_mm.layers
assert 'mmengine' not in sys.modules and 'timm' not in sys.modules
package = pathlib.Path(kaizen_mm.__file__).parent
assert package.is_relative_to(sys.prefix), f'{package} is not in the new environment'
entries = importlib.metadata.distribution('kaizen-mm').entry_points
scripts = [entry for entry in entries if entry.group == 'console_scripts']
for script in scripts:
    assert callable(script.load()) and pathlib.Path(sys.prefix, 'bin', script.name).exists()
import timm
assert timm.create_model('kaizen_mfnet2d_n9', num_classes=3, img_size=64, pool_padding=1).recurrent_block is not None
from kaizen_mm.openmmlab.named_configs import load_config
configs = package / '.mim' / 'configs'
leaves = [path.relative_to(configs) for path in sorted(configs.rglob('*.py')) if '_base_' not in path.parts]
for leaf in leaves:
    load_config(f'kaizen_mm::{leaf}')
assert load_config('kaizen_mm::kaizen_mfnet_ucf101.py').model.backbone.num_iterations == 2
print(f'{len(scripts)} commands, {len(leaves)} configs')
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        environment = {name: value for name, value in os.environ.items() if name not in ('PYTHONPATH', 'KAIZEN_DATA')}
        environment.update(OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore', KAIZEN_DATA=str(folder))
        (folder / 'elsewhere').mkdir()

        def run(*words, cwd=folder / 'elsewhere') -> str:
            print('$', Path(words[0]).name, *('...' if word is FIRST_STEPS else word for word in words[1:]), flush=True)
            done = subprocess.run(
                [str(word) for word in words],
                cwd=cwd,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if done.returncode:
                sys.exit(f'{done.stdout[-6000:]}\nsmoke test: exit status {done.returncode}')
            return done.stdout

        run(sys.executable, '-m', 'build', '--no-isolation', '--outdir', folder / 'dist', ROOT)
        scripts = empty_environment(folder / 'env')
        run(scripts / 'python', '-m', 'pip', 'install', '--no-deps', '--no-index', *(folder / 'dist').glob('*.whl'))
        print(run(scripts / 'python', '-c', FIRST_STEPS).splitlines()[-1])
        assert '--cfg-options' in run(scripts / 'kaizen-train', '--help')
        write_mnist(folder)
        Image.fromarray((load_digits().images[0] * 15).astype('uint8')).resize((28, 28)).save(
            folder / 'elsewhere' / 'digit.png'
        )
        run(
            scripts / 'kaizen-train',
            'kaizen_mm::kaizen_mnist_k2.py',
            '--cfg-options',
            'train_dataloader.batch_size=200',
            'train_cfg.max_epochs=1',
            'phase_one.train_cfg.max_epochs=2',
        )
        checkpoint = 'work_dirs/kaizen_mnist_k2/epoch_1.pth'
        run(scripts / 'kaizen-test', 'kaizen_mm::kaizen_mnist_k2.py', checkpoint)
        output = run(
            scripts / 'kaizen-predict',
            'digit.png',
            '--config',
            'kaizen_mm::kaizen_mnist_k2.py',
            '--checkpoint',
            checkpoint,
        )
        assert 'digit.png' in output and '%' in output, output
    print('smoke test: passed')


def empty_environment(folder: Path) -> Path:
    """Makes an environment that finds the packages of this one behind its own; gives the folder of its scripts."""
    venv.create(folder, with_pip=True)
    place = sysconfig.get_path('purelib', vars={'base': str(folder), 'platbase': str(folder)})
    # with what the .pth files there do: setuptools brings distutils that way, which mmengine imports
    Path(place, 'packages_of_the_other.pth').write_text(
        f'import site; site.addsitedir({sysconfig.get_path("purelib")!r})\n'
    )
    return folder / 'bin'


if __name__ == '__main__':
    main()
