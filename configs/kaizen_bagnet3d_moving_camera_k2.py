# when it helps: the same network, whose global feedback rewrites its convolutions, from the start
_base_ = 'bagnet3d_moving_camera.py'
model = dict(backbone=dict(num_iterations=2))
