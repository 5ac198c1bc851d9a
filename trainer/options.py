"""The effect of a run's options on its result. Nothing here imports TensorFlow."""

from albert_fast.options import TrainingOptions as Options

__all__ = ["CHANGES_THE_RESULT", "CHANGES_THE_ROUNDING", "Options"]

CHANGES_THE_RESULT = (
    "optimizer",
    "batch_size",
    "learning_rate",
    "learning_rate_schedule",
    "budget_hours",
    "num_train_steps",
    "num_warmup_steps",
    "start_warmup_step",
    "poly_power",
    "decay_fraction",
    "final_learning_rate_fraction",
    "weight_decay",
    "random_seed",
)
"""Options that decide what a run computes. With another value, it is another run."""

CHANGES_THE_ROUNDING = (
    "micro_batch_size",
    "precision",
    "jit",
    "deterministic",
    "devices",
    "widths",
    "attention",
    "recompute",
)
"""Options that decide, with the number of devices, how a run computes its result.

A run that resumes with other values of these does not end with the same bits, but with the same result otherwise.
"""
