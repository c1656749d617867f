"""Exact replay: a folder of recorded topics, and the same operators run over it again, compared byte for byte."""
