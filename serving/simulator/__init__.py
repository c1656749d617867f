"""A small closed loop of people with tastes, who only produce to and consume from topics."""

from serving.simulator.loop import SimulationResult, simulate
from serving.simulator.world import Person, World

__all__ = ["Person", "SimulationResult", "World", "simulate"]
