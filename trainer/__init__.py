"""The TensorFlow 2 trainer: ALBERT's model, losses, optimizers and schedule, the loop, and what a run leaves behind.

`albert-fast pretrain` and `albert-fast evaluate` are its face; ``python -m trainer`` is the same. What is computed is
what google-research/ALBERT computes; tf.Module and tf.function with a loop of our own, and no Keras.
"""
