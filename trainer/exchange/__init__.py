"""Import and export of models: Hugging Face directories and TF1 checkpoints, with their tokenizers."""
