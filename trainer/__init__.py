"""The TensorFlow 2 trainer: its parts, without the loop that would use them.

Here are the model, the losses, the optimizers, the schedule and one step. When the loop is there,
``albert-fast pretrain`` and ``python -m trainer`` will train an ALBERT from the records that
``albert-fast make-records`` writes. Until then those records can be read by any trainer that reads the records of
google-research/ALBERT.
"""
