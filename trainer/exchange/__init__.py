"""Models of other programs, read and written: Hugging Face's directories and TF1 checkpoints, with their tokenizers."""
