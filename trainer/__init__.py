"""The TensorFlow 2 trainer: not written yet.

The package exists so that the wheel's layout is settled. When it is there, ``albert-fast pretrain`` and
``python -m trainer`` will train an ALBERT from the records that ``albert-fast make-records`` writes. Until then those
records can be read by any trainer that reads the records of google-research/ALBERT.
"""
