# Feedback Network of feedback_net_tiny_imagenet.py with the kaizen loss, eq. 5 with the paper's weights
_base_ = 'feedback_net_tiny_imagenet.py'
model = dict(head=dict(loss=dict(_delete_=True, type='KaizenLoss')))
