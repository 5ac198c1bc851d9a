"""A gradient of Hugging Face's AlbertForPreTraining on the same shapes as the kit's, for comparison.

    python run_torch.py --output-dir results-torch

It is in the kit's directory, next to manifest.json, and needs PyTorch and transformers, but no network. The weights are
float32 and the computation is bfloat16 (autocast), with PyTorch's own attention. transformers computes scores for every
token of a row, not only for the masked ones, as its users get it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import gpu_kit
import gpu_results
import numpy as np
import torch
import transformers

MODELS = {
    "base": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_hidden_layers": 12},
    "large": {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096, "num_hidden_layers": 24},
}
SHAPES = (("base", 512, 64), ("base", 512, 32), ("large", 512, 32), ("base", 128, 256))


def batch(kit: gpu_kit.Kit, model: str, width: int, rows: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Return the kit's micro-batch with transformers' names. Labels are -100 where nothing is masked."""
    features = gpu_kit.batch(kit.seed, kit.models[model], width, max(1, round(0.15 * width)), rows)
    labels = np.full((rows, width), -100)
    kept = features["masked_lm_weights"] > 0
    labels[np.nonzero(kept)[0], features["masked_lm_positions"][kept]] = features["masked_lm_ids"][kept]
    arrays = {
        "input_ids": features["input_ids"],
        "attention_mask": features["input_mask"],
        "token_type_ids": features["segment_ids"],
        "labels": labels,
        "sentence_order_label": features["next_sentence_labels"][:, 0],
    }
    return {name: torch.tensor(array, dtype=torch.long, device=device) for name, array in arrays.items()}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Time Hugging Face's ALBERT on the kit's shapes.")
    parser.add_argument("--kit", type=Path, default=Path(__file__).resolve().parent, help="the kit's directory")
    parser.add_argument("--output-dir", type=Path, default=Path("results-torch"), help="directory for the results")
    parser.add_argument("--seconds", type=float, default=90, help="time for everything; a case in progress ends")
    parser.add_argument("--small", action="store_true", help="two rows only, to try this program on a CPU")
    options = parser.parse_args()
    start = time.monotonic()
    options.output_dir.mkdir(parents=True, exist_ok=True)
    kit = gpu_kit.Kit.read(options.kit / "manifest.json")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    peak = kit.peak(name)
    torch.backends.cuda.matmul.allow_tf32 = True
    results: list[dict[str, Any]] = []
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    about = {"device": name, "peak_tflops": peak, "versions": versions}
    for compiled in (False, True):
        for key, width, rows in SHAPES:
            case = next(case for case in kit.cases if (case.model, case.width, case.rows) == (key, width, rows))
            attention = "torch.compile" if compiled else "sdpa"
            found: dict[str, Any] = gpu_results.described(case) | {"attention": attention}
            results.append(found)
            if time.monotonic() - start > options.seconds:
                found["status"] = "skipped: no time"
                continue
            config = transformers.AlbertConfig(
                **MODELS[key],
                vocab_size=kit.models[key].vocab_size,
                hidden_act="gelu_new",
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                classifier_dropout_prob=0.0,
                attn_implementation="sdpa",
            )
            model = transformers.AlbertForPreTraining(config).to(device).train()
            features = batch(kit, key, width, 2 if options.small else rows, device)
            forward = torch.compile(model) if compiled else model

            def call(model: Any = model, forward: Any = forward, features: Any = features) -> torch.Tensor:
                model.zero_grad(set_to_none=True)
                with torch.autocast(device.type, torch.bfloat16):
                    loss = forward(**features).loss
                loss.backward()
                return loss

            def wait(loss: torch.Tensor) -> None:
                loss.item()

            try:
                began = time.monotonic()
                wait(call())
                found["compile_seconds"] = time.monotonic() - began
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                seconds, samples = gpu_results.measure(call, wait)
                found |= {"seconds": seconds, "samples": samples, "status": "not compared"}
                found |= vars(gpu_results.rates(case, seconds, peak))
                if device.type == "cuda":
                    found["bytes"] = torch.cuda.max_memory_allocated()
            except Exception as error:  # noqa: BLE001 - one shape that does not run must not end the others
                found["status"] = f"does not run: {type(error).__name__}: {error}".splitlines()[0][:300]
            print(f"{key} {width} {rows} {attention}: {found['status']}", file=sys.stderr, flush=True)
            del model, forward, features, call
            if device.type == "cuda":
                torch.cuda.empty_cache()
            gpu_results.write(
                {"about": about, "seconds": time.monotonic() - start, "results": results}, options.output_dir
            )
    print(gpu_results.table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
