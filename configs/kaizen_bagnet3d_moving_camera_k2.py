# when it helps: the same network, whose feedback from the whole clip rewrites its blocks, recurrent from the start;
# make demo runs this
_base_ = 'bagnet3d_moving_camera.py'
model = dict(backbone=dict(num_iterations=2))
