"""The options of every command and Python function. Each is defined once, in a frozen dataclass for each stage."""

from albert_fast.options.base import MAX_THREADS, REQUIRED, Option, Stage, flag, options_of
from albert_fast.options.exchange import Demo, Export, FillMask, ImportCheckpoint
from albert_fast.options.instances import InstanceShape, MaskOptions, MaskRules, StreamOptions
from albert_fast.options.prepare import PrepareOptions, PrepareOutput, PrepareText
from albert_fast.options.records import InspectRecords, InstanceOptions, MakeRecords, RecordsOptions, typed
from albert_fast.options.shared import CorpusFormat
from albert_fast.options.tokenizers import Tokenize, TokenizeOptions, TokenizerTrainingOptions, TrainTokenizer
from albert_fast.options.training import Evaluate, Pretrain, TrainingOptions

__all__ = [
    "MAX_THREADS",
    "REQUIRED",
    "CorpusFormat",
    "Demo",
    "Evaluate",
    "Export",
    "FillMask",
    "ImportCheckpoint",
    "InspectRecords",
    "InstanceOptions",
    "InstanceShape",
    "MakeRecords",
    "MaskOptions",
    "MaskRules",
    "Option",
    "PrepareOptions",
    "PrepareOutput",
    "PrepareText",
    "Pretrain",
    "RecordsOptions",
    "Stage",
    "StreamOptions",
    "Tokenize",
    "TokenizeOptions",
    "TokenizerTrainingOptions",
    "TrainTokenizer",
    "TrainingOptions",
    "flag",
    "options_of",
    "typed",
]
