"""albert_fast imports no framework, and says which one an adapter lacks."""

import subprocess
import sys
from pathlib import Path

import pytest


def python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("module", ["albert_fast", "albert_fast.batches"])
def test_frameworks_stay_out(module: str) -> None:
    loaded = python(f"import sys, {module}; {module}.BatchSource; print(*(name.split('.')[0] for name in sys.modules))")
    assert "numpy" in loaded.split()
    assert not {"tensorflow", "keras", "torch", "transformers"} & set(loaded.split())


@pytest.mark.parametrize(
    ("module", "name", "framework"), [("tf", "TensorFlow", "tensorflow"), ("torch", "PyTorch", "torch")]
)
def test_what_to_install_is_said(module: str, name: str, framework: str) -> None:
    code = f"""
import sys
sys.modules["{framework}"] = None
try:
    import albert_fast.{module}
except ImportError as error:
    print(error)
"""
    assert python(code).startswith(f"albert_fast.{module} needs {name} (pip install {framework}): ")


def test_submodules_are_attributes() -> None:
    """One import of the package is enough, as it was when the package imported them itself."""
    code = """
import sys, albert_fast
assert "numpy" not in sys.modules
print(albert_fast.masking.Masker is albert_fast.Masker, albert_fast.inspection.find_files.__name__)
print(hasattr(albert_fast, "no_such_module"), hasattr(albert_fast, "__wrapped__"))
sys.modules["torch"] = None
print(hasattr(albert_fast, "torch"))
try:
    from albert_fast import torch
except ImportError as error:
    print(error)
"""
    first, second, third, why = python(code).splitlines()
    assert (first, second, third) == ("True find_files", "False False", "False")
    assert why.startswith("albert_fast.torch needs PyTorch")


def test_arrays_without_numpy_are_an_import_error(model: Path) -> None:
    """Where NumPy cannot be loaded, or Ctrl-C arrives meanwhile, the exception passes; the core does not panic."""
    code = f"""
import sys
sys.modules["numpy"] = None
from albert_fast import _native
tokenizer = _native.Tokenizer.from_file({str(model)!r})
ids = dict.fromkeys(["pad_id", "cls_id", "sep_id", "mask_id"], 0)
for call in (
    lambda: _native.Masker.from_tokenizer(tokenizer, "{{}}", "unicode", []),
    lambda: _native.Masker.from_vocab([], "{{}}", **ids, ordinary=None, special_ids=[]),
    lambda: _native.instances([], [], [], {{}}, "{{}}"),
    lambda: tokenizer.word_starts("unicode"),
):
    try:
        call()
    except ImportError as error:
        print("numpy" in str(error))
"""
    assert python(code).split() == ["True"] * 4
