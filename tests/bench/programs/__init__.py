"""Training programs in the styles people write, healthy and with faults. None of them knows the kit."""

from tests.bench.programs import (
    accumulation,
    adapter,
    amp,
    autoencoder,
    averaged,
    closure,
    contrastive,
    curriculum,
    finetune,
    fullbatch,
    gan,
    headonly,
    hooks,
    language,
    lowrank,
    modules,
    multitask,
    physics,
    plain,
    policy,
    recurrent,
    restarts,
    resumed,
    script,
    tensors,
    trainer,
)
from tests.bench.programs.program import Case, Displayed, Program, Setting

_STYLES = (
    plain,
    accumulation,
    amp,
    trainer,
    modules,
    hooks,
    closure,
    multitask,
    gan,
    recurrent,
    language,
    adapter,
    finetune,
    averaged,
    contrastive,
    autoencoder,
    policy,
    physics,
    script,
    resumed,
    tensors,
    fullbatch,
    restarts,
    curriculum,
    headonly,
    lowrank,
)

PROGRAMS: tuple[Program, ...] = tuple(program for style in _STYLES for program in style.PROGRAMS)

__all__ = ["PROGRAMS", "Case", "Displayed", "Program", "Setting"]
