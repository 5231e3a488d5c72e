# when it helps: the same with the paper's h, whose rows share one linear layer, in place of the global adapter
_base_ = 'kaizen_bagnet_cifar10_k2.py'
model = dict(
    backbone=dict(
        adapter='paper',
        hidden=None,
        rank=None,
        input_shape=(3, 32, 32),
        pool_kernel=4,
        pool_stride=4,
        alpha=0.1,
    )
)
