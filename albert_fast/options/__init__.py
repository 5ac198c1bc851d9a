"""The options of every command and Python function. Each is defined once, in a frozen dataclass for each stage."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from albert_fast.options.base import MAX_THREADS, REQUIRED, Option, Stage, flag, options_of, typed
    from albert_fast.options.cluster import Slurm
    from albert_fast.options.exchange import Demo, Export, FillMask, ImportCheckpoint, Report
    from albert_fast.options.instances import InstanceShape, MaskOptions, MaskRules, StreamOptions
    from albert_fast.options.phases import Phase
    from albert_fast.options.prepare import PrepareOptions, PrepareOutput, PrepareText
    from albert_fast.options.ray import Ray
    from albert_fast.options.records import InspectRecords, InstanceOptions, MakeRecords, RecordsOptions
    from albert_fast.options.shared import CacheOptions, CorpusFormat, Finish, TaskOptions
    from albert_fast.options.tokenizers import Tokenize, TokenizeOptions, TokenizerTrainingOptions, TrainTokenizer
    from albert_fast.options.training import Evaluate, Pretrain, TrainingOptions

__all__ = [
    "MAX_THREADS",
    "REQUIRED",
    "CacheOptions",
    "CorpusFormat",
    "Demo",
    "Evaluate",
    "Export",
    "FillMask",
    "Finish",
    "ImportCheckpoint",
    "InspectRecords",
    "InstanceOptions",
    "InstanceShape",
    "MakeRecords",
    "MaskOptions",
    "MaskRules",
    "Option",
    "Phase",
    "PrepareOptions",
    "PrepareOutput",
    "PrepareText",
    "Pretrain",
    "Ray",
    "RecordsOptions",
    "Report",
    "Slurm",
    "Stage",
    "StreamOptions",
    "TaskOptions",
    "Tokenize",
    "TokenizeOptions",
    "TokenizerTrainingOptions",
    "TrainTokenizer",
    "TrainingOptions",
    "flag",
    "options_of",
    "typed",
]

_HOMES = {
    **dict.fromkeys(("MAX_THREADS", "REQUIRED", "Option", "Stage", "flag", "options_of", "typed"), "base"),
    "Slurm": "cluster",
    **dict.fromkeys(("Demo", "Export", "FillMask", "ImportCheckpoint", "Report"), "exchange"),
    **dict.fromkeys(("InstanceShape", "MaskOptions", "MaskRules", "StreamOptions"), "instances"),
    "Phase": "phases",
    **dict.fromkeys(("PrepareOptions", "PrepareOutput", "PrepareText"), "prepare"),
    "Ray": "ray",
    **dict.fromkeys(("InspectRecords", "InstanceOptions", "MakeRecords", "RecordsOptions"), "records"),
    **dict.fromkeys(("CacheOptions", "CorpusFormat", "Finish", "TaskOptions"), "shared"),
    **dict.fromkeys(("Tokenize", "TokenizeOptions", "TokenizerTrainingOptions", "TrainTokenizer"), "tokenizers"),
    **dict.fromkeys(("Evaluate", "Pretrain", "TrainingOptions"), "training"),
}
"""The modules of the names."""


def __getattr__(name: str) -> Any:
    # Loaded on first use: making the dataclasses of all stages takes longer than some commands.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
