"""The names of the arrays of a micro-batch that the model reads. Nothing here imports TensorFlow."""

PER_TOKEN = ("input_ids", "input_mask", "segment_ids")
PER_PREDICTION = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
LABELS = "next_sentence_labels"
FEATURES = (*PER_TOKEN, *PER_PREDICTION, LABELS)
"""The arrays of a batch of records that the model reads."""
ROW_NUMBERS, ROW_WEIGHTS = "row_numbers", "row_weights"
"""The arrays that `trainer.run.packing.cut` adds.

int32 [B], each row's number in the step, and float32 [B], 1 for rows and 0 for empty ones.
"""
