"""Registry classes for mmpretrain."""

from kaizen_mm.config_files import CONFIGS
from kaizen_mm.extras import naming_extras
from kaizen_mm.openmmlab import compat
from kaizen_mm.weights import FOLDER

with naming_extras():
    from mmpretrain.apis.model import ModelHub

    compat.infer_with_classifiers_of_configs()
    from kaizen_mm.openmmlab.image import augmented_test, backbones, cifar, comparators, datasets, heads, hooks, metrics  # noqa: F401

# names of the weights that the package brings, for mmpretrain.get_model
if not ModelHub.has('kaizen_bagnet_cifar10'):
    ModelHub.register_model_index(FOLDER / 'model-index.yml', CONFIGS)
