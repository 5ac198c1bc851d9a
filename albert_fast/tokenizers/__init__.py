"""Tokenizers: how they are found, trained and compared. The compiled part is `albert_fast.Tokenizer`."""
