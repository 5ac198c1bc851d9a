"""A run of pretraining: its data, its steps, its devices and workers, and what stops and resumes it."""
