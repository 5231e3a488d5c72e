_base_ = 'default_runtime.py'
default_scope = 'mmpretrain'
visualizer = dict(type='UniversalVisualizer')
default_hooks = dict(label_check=dict(type='LabelCheckHook'))
# of test.py --tta
tta_model = dict(type='AverageIterateScoresTTA')
