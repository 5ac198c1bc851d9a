"""Experiment trackers: they show the metrics log of a run in W&B, MLflow or Trackio."""
