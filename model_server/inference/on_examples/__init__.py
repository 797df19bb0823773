"""The RPCs that are asked with tf.Examples and answer in messages of their own.

Input -> examples -> run -> classify, regress, multi_inference (both, several at once)
"""
