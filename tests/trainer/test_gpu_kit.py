"""The GPU kit: what it exports is what the trainer computes, and its runner says so on a CPU."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax_kit
import numpy as np
import pytest

sys.path.insert(0, str(jax_kit.KIT))

import gpu_kit
import gpu_results
import kernels

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL = gpu_kit.Model(64, 2, (("bert/a/kernel", (4, 3)), ("bert/a/gamma", (5,)), ("bert/a/key/bias", (2,))))
CASE = gpu_kit.Case(
    "tiny-16-4-plain",
    "modules/tiny-16-4-plain.mlir.gz",
    "gradient",
    "tiny",
    "plain",
    False,
    16,
    4,
    2,
    (gpu_kit.Array("input_ids", "int32", (4, 16)), gpu_kit.Array("sentences", "float32", ())),
    (gpu_kit.Array("gradient", "float32", (19,)),),
    4e12,
    3e12,
    60,
)
EXPECTED = gpu_kit.Expected(
    {"masked_lm": 10.0, "masked_lm_correct": 1.0, "sentence_order": 2.0},
    5.0,
    {"bert/a/kernel": [1.0, -1.0], "bert/a/gamma": [2.0], "bert/a/key/bias": [1e-6]},
    {"masked_lm": 0.01, "norm": 0.01, "entries": 0.01, "worst_variable": 0.02},
)
KIT = gpu_kit.Kit(7, {"tensorflow": "2.21.0"}, ((r"\bH100\b", 756.0),), {"tiny": MODEL}, {"tiny-16": EXPECTED}, (CASE,))


def result(**values: object) -> dict[str, Any]:
    return gpu_results.described(CASE) | {"status": "ok"} | values


def test_a_manifest_reads_back(tmp_path: Path) -> None:
    KIT.write(tmp_path / "manifest.json")
    assert gpu_kit.Kit.read(tmp_path / "manifest.json") == KIT


def test_a_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    KIT.write(tmp_path / "manifest.json")
    values = json.loads((tmp_path / "manifest.json").read_text()) | {"format": 0}
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="the format must be 1"):
        gpu_kit.Kit.read(tmp_path / "manifest.json")


def test_the_peak_of_an_unknown_device_is_an_h100s() -> None:
    assert KIT.peak("NVIDIA H100 PCIe") == 756.0
    assert KIT.peak("something else") == gpu_kit.DEFAULT_PEAK


def test_hashes_are_those_of_any_machine() -> None:
    # Written down once: a kit's expected values hold only as long as these do.
    assert [int(value) for value in gpu_kit.hashes(7, "a", 3)] == [
        4392388388771743196,
        8194583185892035225,
        539390482838207854,
    ]
    assert gpu_kit.uniform(7, "a", [3], 1.0).dtype == np.float32


def test_hashes_are_spread_evenly() -> None:
    values = gpu_kit.uniform(7, "a", [100_000], 1.0)
    counts, _ = np.histogram(values, bins=10, range=(-1, 1))
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 27.9  # chi-square with 9 degrees of freedom, 0.1 %
    assert abs(np.corrcoef(values, gpu_kit.uniform(8, "a", [100_000], 1.0))[0, 1]) < 0.011


def test_weights_are_like_alberts() -> None:
    kernel = gpu_kit.weight(7, "kernel", (200, 100))
    assert kernel.std() == pytest.approx(0.02, rel=0.02)
    assert abs(gpu_kit.weight(7, "gamma", (500,)).mean() - 1) < 0.005
    assert not np.array_equal(gpu_kit.weight(7, "x/bias", (9,)), gpu_kit.weight(7, "y/bias", (9,)))


def test_a_micro_batch_repeats_the_period() -> None:
    period = gpu_kit.batch(7, MODEL, 16, 2, len(gpu_kit.FILLS))
    twice = gpu_kit.batch(7, MODEL, 16, 2, 2 * len(gpu_kit.FILLS))
    for name, feature in twice.items():
        np.testing.assert_array_equal(feature, np.concatenate([period[name]] * 2), err_msg=name)


@pytest.mark.parametrize("width", [4, 16, 128, 512])
def test_a_batch_is_one_that_the_trainer_could_be_given(width: int) -> None:
    predictions = max(1, round(0.15 * width))
    batch = gpu_kit.batch(7, MODEL, width, predictions, 4)
    lengths = batch["input_mask"].sum(1)
    assert list(lengths) == gpu_kit.lengths(width) * 2
    assert (np.diff(batch["input_mask"], axis=1) <= 0).all()  # the tokens stand at the beginning
    assert batch["input_ids"].max() < MODEL.vocab_size
    assert (batch["input_ids"][batch["input_mask"] == 0] == 0).all()
    for row in range(4):
        count = int(batch["masked_lm_weights"][row].sum())
        assert count == gpu_kit.masked(int(lengths[row]), predictions) >= 1
        places = batch["masked_lm_positions"][row, :count]
        assert places.min() >= 1
        assert places.max() < lengths[row]
        assert len(set(places.tolist())) == count


def test_rows_must_be_whole_periods() -> None:
    with pytest.raises(ValueError, match="rows must be a multiple of 2, got 3"):
        gpu_kit.batch(7, MODEL, 16, 2, 3)


def test_arguments_follow_the_module() -> None:
    ids, sentences = gpu_kit.arguments(7, KIT, CASE)
    assert ids.shape == (4, 16)
    assert float(sentences) == 4
    wrong = replace(CASE, arguments=(gpu_kit.Array("input_ids", "int32", (4, 15)),))
    with pytest.raises(ValueError, match=r"input_ids must be int32 \(4, 15\), got \(4, 16\)"):
        gpu_kit.arguments(7, KIT, wrong)


def test_entries_are_those_of_the_flattened_gradient() -> None:
    gradient = np.arange(19, dtype=np.float32)
    found = gpu_kit.entries(7, MODEL, gradient)
    assert found["bert/a/kernel"] == list(range(12))
    assert found["bert/a/key/bias"] == [17.0, 18.0]


def found(**changes: Any) -> dict[str, float]:
    values: dict[str, Any] = {
        "sums": {"masked_lm": 20.0, "masked_lm_correct": 9.0, "sentence_order": 4.0},
        "norm": 5.0,
        "entries": EXPECTED.entries,
    }
    values |= changes
    return gpu_kit.compare(EXPECTED, values["sums"], values["norm"], values["entries"], 2)


def test_equal_values_do_not_differ() -> None:
    assert set(found().values()) == {0.0}
    assert gpu_kit.wrong(found(), EXPECTED.bounds) == []


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"norm": 5.1}, ["norm"]),
        ({"norm": float("nan")}, ["norm"]),
        ({"sums": {"masked_lm": 20.5, "masked_lm_correct": 0.0, "sentence_order": 4.0}}, ["masked_lm"]),
        ({"entries": EXPECTED.entries | {"bert/a/gamma": [2.01]}}, []),
        ({"entries": EXPECTED.entries | {"bert/a/gamma": [2.1]}}, ["entries", "worst_variable"]),
        # As good as 0 in both: rounding alone decides.
        ({"entries": EXPECTED.entries | {"bert/a/key/bias": [-3e-6]}}, []),
    ],
)
def test_what_differs_is_named(changes: "Mapping[str, Any]", wrong: list[str]) -> None:
    lines = gpu_kit.wrong(found(**changes), EXPECTED.bounds)
    assert [line.split()[0] for line in lines] == wrong


def test_rates() -> None:
    rates = gpu_results.rates(CASE, 0.01, 800.0)
    assert rates == gpu_results.Rates(400.0, 6000.0, 400.0, 0.5, 0.375)
    assert gpu_results.rates(CASE, 0.01, None).share is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("nvjet_sm90_tst_192x192_64x3_2x1_v_bz_coopB_splitK_NTN", "matrix products"),
        ("gemm_fusion_dot_492", "matrix products"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7", "attention (cuDNN)"),
        ("MemcpyD2D", "copies"),
        ("loop_multiply_fusion_11", "fusions"),
        ("triton_softmax_76", "fusions"),
        ("RepeatBufferKernel", "other"),
    ],
)
def test_a_kernels_kind_follows_from_its_name(name: str, kind: str) -> None:
    assert kernels.kind(name) == kind


def test_measure_waits_once_a_sample() -> None:
    done: list[str] = []
    seconds, samples = gpu_results.measure(lambda: done.append("call"), lambda _: done.append("wait"), seconds=1e-6)
    assert len(samples) == gpu_results.SAMPLES
    assert min(samples) <= seconds <= max(samples)
    assert done == ["call", "wait"] * (3 + gpu_results.SAMPLES)


def test_the_table_has_a_row_for_each_result() -> None:
    rates = {"sequences": 400.0, "tokens": 6000.0, "tflops": 400.0, "share": 0.5, "real_share": 0.375}
    fast = result(seconds=0.01, bytes=2**30, bytes_accessed=1e10, compile_seconds=3.0, **rates)
    lines = gpu_results.table([fast, result(status="skipped: no time to compile")]).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == list(gpu_results.COLUMNS)
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == [
        "tiny",
        "plain",
        "16",
        "4",
        "10.00",
        "400",
        "6,000",
        "400.0",
        "50.0%",
        "37.5%",
        "1,000",
        "1.00",
        "3.0",
        "ok",
    ]
    assert "skipped: no time to compile" in lines[3]
    assert len({len(line) for line in lines}) == 1


def test_the_best_is_right_and_fast() -> None:
    slow, fast = result(sequences=1.0), result(sequences=2.0)
    wrong, narrow = result(sequences=3.0, status="wrong: norm 1 > 0.1"), result(sequences=9.0, width=8)
    assert gpu_results.best([slow, fast, wrong, narrow]) == [fast, narrow]


def test_results_are_written(tmp_path: Path) -> None:
    about = {"device": "NVIDIA H100", "peak_tflops": 989.4, "versions": {"jax": "1.2"}}
    report = {"about": about, "seconds": 3.0, "results": [result(sequences=1.0), result(status="skipped: no time")]}
    text = gpu_results.write(report, tmp_path)
    assert (tmp_path / "results.md").read_text() == text
    assert "jax 1.2. The peak is 989 TFLOP/s. 2 cases, 1 of them skipped, took 3 s." in text
    assert json.loads((tmp_path / "results.json").read_text()) == report


TINY = (64, 32, 1, 4, 64, 16)
"""A model's pieces, hidden size, layers, heads, intermediate size and embedding size."""


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit of a tiny model, built here."""
    pytest.importorskip("tensorflow")
    import build

    from trainer.model.config import ModelConfig

    directory = tmp_path_factory.mktemp("kit") / "kit"
    config = ModelConfig(*TINY, max_position_embeddings=32)
    shapes = [
        build.Shape("tiny", 32, 4),
        build.Shape("tiny", 32, 4, "plain", True),
        build.Shape("tiny", 32, 4, "cudnn"),
    ]
    build.build(directory, {"tiny": config}, shapes)
    return directory


@pytest.mark.tensorflow
def test_a_kit_is_complete_and_names_no_place(kit: Path) -> None:
    import gzip

    read = gpu_kit.Kit.read(kit / "manifest.json")
    assert [case.name for case in read.cases] == [
        "tiny-update",
        "tiny-32-4-plain",
        "tiny-32-4-plain-recompute",
        "tiny-32-4-cudnn",
    ]
    for case in read.cases:
        module = gzip.decompress((kit / case.file).read_bytes())
        assert b"/site-packages/" not in module
        assert (b"__cudnn$fmhaSoftmax" in module) == (case.attention == "cudnn")
        # Nothing else that only one kind of device knows.
        assert (b"custom_call" in module) == (case.attention == "cudnn")
        assert len(gpu_kit.arguments(read.seed, read, case)) == len(case.arguments)
    assert read.models["tiny"].parameters == read.cases[1].results[-1].shape[0]
    for name in ("run.py", "kernels.py", "run_torch.py", "memory.py", "gpu_kit.py", "gpu_results.py", "README.md"):
        assert (kit / name).is_file()


@pytest.mark.tensorflow
def test_attention_to_padding_is_out_of_bounds(kit: Path) -> None:
    """A bound that lets everything through would prove nothing."""
    import tensorflow as tf

    from trainer.model import losses
    from trainer.model.config import ModelConfig
    from trainer.model.model import Albert
    from trainer.run import step

    read = gpu_kit.Kit.read(kit / "manifest.json")
    described, expected = read.models["tiny"], read.expected["tiny-32"]
    model = Albert(ModelConfig(*TINY, max_position_embeddings=32))
    for name, variable in model.named_variables.items():
        variable.assign(gpu_kit.weight(read.seed, name, variable.shape))
    batch = {name: tf.constant(value) for name, value in gpu_kit.batch(read.seed, described, 32, 5, 4).items()}
    share = step.make_gradient(model, jit=False)
    wrong = []
    for mask in (batch["input_mask"], tf.ones_like(batch["input_mask"])):
        sums, gradient = share(batch | {"input_mask": mask}, losses.totals(batch), tf.zeros([2], tf.int32))
        flat = gradient.numpy()
        named = {name: float(value) for name, value in sums._asdict().items()}
        entries = gpu_kit.entries(read.seed, described, flat)
        differences = gpu_kit.compare(expected, named, float(np.linalg.norm(flat)), entries, 2)
        wrong.append(gpu_kit.wrong(differences, expected.bounds))
    assert wrong[0] == []
    assert wrong[1] != []


@pytest.mark.tensorflow
def test_a_location_that_is_not_understood_is_refused(kit: Path) -> None:
    import build

    with pytest.raises(ValueError, match="not understood"):
        build.bare('    %0 = "mhlo.unknown"() : () -> tensor<f32>\n')


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_runner_finds_the_trainers_values(kit: Path, tmp_path: Path) -> None:
    if jax_kit.python() is None:
        pytest.skip("needs JAX, here or in the Python that JAX_PYTHON names")
    text = jax_kit.run(kit / "run.py", "--platform", "cpu", "--output-dir", tmp_path, "--threads", 2)
    assert text.startswith("# The GPU kit on cpu")
    results = {found["name"]: found for found in json.loads((tmp_path / "results.json").read_text())["results"]}
    assert results.pop("tiny-32-4-cudnn")["status"] == "skipped: it needs a GPU of NVIDIA's"
    assert {name: found["status"] for name, found in results.items()} == dict.fromkeys(results, "ok")
    assert len(results) == 3
    for found in results.values():
        assert found["seconds"] > 0
        assert found["bytes"] > 0


@pytest.mark.tensorflow
def test_the_runner_says_what_it_had_no_time_for(kit: Path, tmp_path: Path) -> None:
    if jax_kit.python() is None:
        pytest.skip("needs JAX, here or in the Python that JAX_PYTHON names")
    jax_kit.run(kit / "run.py", "--platform", "cpu", "--output-dir", tmp_path, "--minutes", 0.0001)
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert len(results) == 4
    assert all(found["status"].startswith("skipped") for found in results)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_second_run_takes_modules_from_the_cache(kit: Path, tmp_path: Path) -> None:
    if jax_kit.python() is None:
        pytest.skip("needs JAX, here or in the Python that JAX_PYTHON names")
    words = ("--platform", "cpu", "--only", "plain", "--only", "recompute", "--cache", tmp_path / "cache")
    files = []
    for name in ("first", "second"):
        jax_kit.run(kit / "run.py", "--output-dir", tmp_path / name, *words)
        (only,) = json.loads((tmp_path / name / "results.json").read_text())["results"]
        assert only["status"] == "ok"
        files.append({path.name for path in (tmp_path / "cache").iterdir() if not path.name.endswith("-atime")})
    assert files[0]
    assert files[0] == files[1]


@pytest.mark.tensorflow
def test_modules_are_compiled_and_timed_in_rounds(kit: Path, tmp_path: Path) -> None:
    """With time for one round only, the most important case has figures, and the others are skipped."""
    if jax_kit.python() is None:
        pytest.skip("needs JAX, here or in the Python that JAX_PYTHON names")
    words = ("--platform", "cpu", "--child", "--seconds", 5.5, "--threads", 1)
    names = ("tiny-32-4-plain", "tiny-32-4-plain-recompute")
    text = jax_kit.run(kit / "run.py", *words, "--kit", kit, "--cases", *names)
    found = {line.get("case", ""): line for line in map(json.loads, text.splitlines())}
    assert found[names[0]]["status"] == "ok"
    assert found[names[1]]["status"] == "skipped: no time to compile"


@pytest.mark.slow
@pytest.mark.tensorflow
def test_kernels_are_timed(kit: Path, tmp_path: Path) -> None:
    if jax_kit.python() is None:
        pytest.skip("needs JAX, here or in the Python that JAX_PYTHON names")
    words = ("--platform", "cpu", "--case", "tiny-32-4-plain", "--output", tmp_path / "kernels.json")
    try:
        text = jax_kit.run(kit / "kernels.py", *words)
    except AssertionError as error:
        if "ProfileData" not in str(error):
            raise
        pytest.skip("needs JAX 0.7 or later")
    assert text.strip().startswith("tiny-32-4-plain on cpu: ")
    (found,) = json.loads((tmp_path / "kernels.json").read_text()).values()
    assert max(kernel["ms"] for kernel in found.values()) > 0
    assert all(kernel["calls"] > 0 for kernel in found.values())


@pytest.mark.tensorflow
def test_the_runner_wants_a_gpu(kit: Path, tmp_path: Path) -> None:
    if jax_kit.python() is None:
        pytest.skip("needs JAX, here or in the Python that JAX_PYTHON names")
    with pytest.raises(AssertionError, match="gpu-kit: JAX sees no GPU here, only cpu; install JAX with CUDA"):
        jax_kit.run(kit / "run.py", "--output-dir", tmp_path, CUDA_VISIBLE_DEVICES="", JAX_PLATFORMS="")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_runner_names_wrong_values(kit: Path, tmp_path: Path) -> None:
    if jax_kit.python() is None:
        pytest.skip("needs JAX, here or in the Python that JAX_PYTHON names")
    read = gpu_kit.Kit.read(kit / "manifest.json")
    other = replace(read.expected["tiny-32"], norm=read.expected["tiny-32"].norm * 1.5)
    import shutil

    shutil.copytree(kit, tmp_path / "kit")
    replace(read, expected=read.expected | {"tiny-32": other}).write(tmp_path / "kit" / "manifest.json")
    words = ("--platform", "cpu", "--output-dir", tmp_path, "--only", "recompute")
    jax_kit.run(tmp_path / "kit" / "run.py", *words)
    (only,) = json.loads((tmp_path / "results.json").read_text())["results"]
    assert only["status"].startswith("wrong: norm 0.33 > ")


@pytest.mark.tensorflow
def test_cudnn_is_called_as_jax_calls_it(kit: Path, tmp_path: Path) -> None:
    """The kit's HLO for CUDA holds the calls that JAX makes for its own attention of the same shape."""
    if jax_kit.python() is None:
        pytest.skip("needs JAX, here or in the Python that JAX_PYTHON names")
    jax_kit.run(Path(jax_kit.__file__), "calls", kit, tmp_path / "kit.json")
    jax_kit.run(Path(jax_kit.__file__), "own", f"4,32,4,8,{1 / math.sqrt(8)!r}", tmp_path / "own.json")
    ours = json.loads((tmp_path / "kit.json").read_text())
    forward, backward = json.loads((tmp_path / "own.json").read_text())
    assert [forward["target"], backward["target"]] == ["__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward"]
    found = ours.pop("tiny-32-4-cudnn")
    assert {call["target"] for call in found} == {forward["target"], backward["target"]}
    for call in found:
        assert call == (forward if call["target"] == forward["target"] else backward)
    assert all(calls == [] for calls in ours.values())


@pytest.mark.slow
@pytest.mark.tensorflow
def test_tensorflow_runs_the_same_cases(kit: Path, tmp_path: Path) -> None:
    import argparse

    import run_tensorflow

    from trainer.model.config import ModelConfig

    config = ModelConfig(*TINY, max_position_embeddings=32)
    options = argparse.Namespace(kit=kit, minutes=5, only=["tiny"])
    results = {found["name"]: found["status"] for found in run_tensorflow.run(options, {"tiny": config})["results"]}
    assert results.pop("tiny-32-4-cudnn") == "skipped: it needs a GPU of NVIDIA's"
    assert results == dict.fromkeys(("tiny-update", "tiny-32-4-plain", "tiny-32-4-plain-recompute"), "ok")
