"""The TensorFlow 2 trainer: ALBERT's model, losses, optimizers and schedule, the loop, and what a run leaves behind.

`albert-fast pretrain` and `albert-fast evaluate` are its face; ``python -m trainer`` is the same. What is computed is
what google-research/ALBERT computes; tf.Module and tf.function with a loop of our own, and no Keras.

Its rooms import one way, which tests/test_layout.py checks:

    errors, folder, options    the ground: the error, the names of a run's files, the options of a run
    model                      what a model is: configuration, arithmetic, optimizers, weights, checkpoints
    report                     what a run tells its reader
    exchange                   models of other programs, and their tokenizers
    run                        a run of pretraining, from its data to its last step

A room imports those above it, and `albert_fast` but not `albert_fast.cli`.
"""
