# ConvRNN of conv_rnn_tiny_imagenet.py with the kaizen loss, eq. 5 with the paper's weights
_base_ = 'conv_rnn_tiny_imagenet.py'
model = dict(head=dict(loss=dict(_delete_=True, type='KaizenLoss')))
