"""The TensorFlow 2 trainer: ALBERT's model, losses, optimizers and schedule, the training loop, and a run's output.

Its commands are `albert-fast pretrain` and `albert-fast evaluate`; ``python -m trainer`` runs them too. It computes
what google-research/ALBERT computes, with tf.Module, tf.function and its own loop, without Keras.

Its modules and packages import in one direction, which tests/docs/test_layout.py checks:

    errors, directory, options    the base: the error, the names of a run's files, the options of a run
    model                      what a model is: configuration, arithmetic, optimizers, weights, checkpoints
    report                     metrics log, display and report of a run
    exchange                   models of other programs, and their tokenizers
    run                        a run of pretraining, from its data to its last step

Each one imports those above it, and `albert_fast`, but not `albert_fast.cli`.
"""
