"""Imports albert_fast from the directory that a wheel was unpacked to and checks that the wheel is whole.

Usage: python wheel_smoke.py DIRECTORY, from a directory that is not the checkout.
"""

import subprocess
import sys
from pathlib import Path


def main(directory: Path) -> None:
    """Checks the wheel unpacked in `directory`."""
    sys.path.insert(0, str(directory))
    import albert_fast
    import trainer

    for module in (albert_fast, trainer):
        found = Path(str(module.__file__)).resolve()
        assert directory in found.parents, f"{module.__name__} was imported from {found}, not from {directory}"
    assert albert_fast.preprocess(" Ein  Haus ") == "ein haus"
    assert issubclass(albert_fast.AlbertFastError, ValueError)
    heavy = {"tensorflow", "torch", "typer", "rich", "sentencepiece", "yaml"} & set(sys.modules)
    assert not heavy, f"import albert_fast imported {heavy}"
    for name in ("py.typed", "_native.pyi", "cli/__init__.py", "tf.py", "torch.py", "../trainer/__main__.py"):
        assert (directory / "albert_fast" / name).is_file(), f"the wheel lacks albert_fast/{name}"
    script = f"import sys; sys.path.insert(0, {str(directory)!r}); from albert_fast.cli import main; sys.exit(main())"
    for arguments in (["--version"], ["make-records", "--help"]):
        subprocess.run([sys.executable, "-c", script, *arguments], check=True, stdout=subprocess.DEVNULL)
    print(f"the wheel is whole: albert_fast {albert_fast.__version__}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
