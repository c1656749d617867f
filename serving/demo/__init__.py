"""`penstock demo`: the whole system on this machine, with real events flowing, and a summary of what was measured."""

from serving.demo.run import DemoOptions, run_demo
from serving.demo.summary import DemoSummary

__all__ = ["DemoOptions", "DemoSummary", "run_demo"]
