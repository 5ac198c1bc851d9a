"""Batches and masks as NumPy arrays. It only needs albert-fast.

It makes a small corpus, a tokenizer and a token store in a temporary directory. Then it takes batches from the store,
any of them by its number, and masks its own rows.
"""

import tempfile
from pathlib import Path

import numpy as np

from albert_fast import InstanceStream, Masker, TokenStore, demo_corpus, prepare_text, tokenize, train_tokenizer


def main() -> None:
    """Shows a batch, a resumed run, and masks for your own rows."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        # Use your own text here, in any format that prepare_text reads. This example uses the docstrings of this
        # Python's modules.
        raw = directory / "docstrings.jsonl"
        raw.write_text(demo_corpus.collect(200_000)[0], encoding="utf-8")
        text = directory / "text.txt"
        prepare_text(raw, text, language="en")
        tokenizer = train_tokenizer(text, directory / "tokenizer", vocab_size=1000)
        tokenize([text], directory / "store", tokenizer)
        stream = InstanceStream(TokenStore(directory / "store"), batch_size=16, max_seq_length=64)
        print(stream)
        print(f"an epoch has {len(stream)} instances, which takes {stream.steps_per_epoch} batches\n")

        batch = stream.batch(0)
        for name_of_array, array in batch.items():
            print(f"{name_of_array:22}{array.dtype.name:9}{list(array.shape)}")  # type: ignore[attr-defined]
        tokens = int(batch["input_mask"][0].sum())
        print("\nrow 0:", " ".join(tokenizer.id_to_piece(int(id_)) for id_ in batch["input_ids"][0, :tokens]))
        predicted = batch["masked_lm_ids"][0][batch["masked_lm_weights"][0] > 0]
        print("to be predicted:", " ".join(tokenizer.id_to_piece(int(id_)) for id_ in predicted))

        # A trainer that stopped after 7 steps resumes with batch 7. It only needs to have kept its step number.
        resumed = next(stream.batches(start=7))
        print("\nbatch 7 again:", np.array_equal(resumed["input_ids"], stream.batch(7)["input_ids"]))

        masker = Masker(tokenizer)
        sentence = "Returns the number of bytes that were written to the file."
        ids = [tokenizer.cls_id, *tokenizer.encode(sentence), tokenizer.sep_id]
        print("\nthe same sentence, masked with three seeds:")
        for seed in range(3):
            masked = masker.mask(np.array(ids, dtype=np.int32), seed)
            print(" ", " ".join(tokenizer.id_to_piece(int(id_)) for id_ in masked["input_ids"]))


if __name__ == "__main__":
    main()
