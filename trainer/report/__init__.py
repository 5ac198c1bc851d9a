"""What a run shows the user: the metrics log, TensorBoard's events, the display on a terminal, and the report."""
