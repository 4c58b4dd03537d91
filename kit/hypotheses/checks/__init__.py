"""The questions that can be asked of a recorded run, by what they look at."""

from kit.hypotheses.checks import gradients, outputs, steps, symptoms, validation, weights

__all__ = ["gradients", "outputs", "steps", "symptoms", "validation", "weights"]
