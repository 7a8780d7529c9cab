"""Captures what an OpenAI-compatible server tells of its model: log-probabilities, continuations, times.

``client`` speaks HTTP, ``answers`` and ``continuation`` read what came back, ``ways`` knows how a thing can be asked
for, ``session`` asks for one sample, ``questions`` makes the samples, ``run`` writes the dump.
"""
