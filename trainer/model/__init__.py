"""What a model is: its configuration, arithmetic, losses and optimizers, and its weights in checkpoints."""
