"""What a run tells its reader: the metrics log, TensorBoard's events, the lines on a terminal, and the report."""
