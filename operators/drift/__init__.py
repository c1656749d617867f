"""Drift: what says that a stream is no longer what it was."""

from operators.drift.loss_change import DETECTORS, LossChange

__all__ = ["DETECTORS", "LossChange"]
