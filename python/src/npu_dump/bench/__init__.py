"""Measures how fast a model answers: through transformers, through vLLM's engine, or behind a server.

``points`` says what is measured, ``prompts`` what is fed, ``engine`` what an engine must be able to do;
``generation`` (transformers), ``offline`` (vLLM) and ``server`` are the three; ``figures`` makes figures of times,
``dump`` stores them, ``table`` shows them, and ``run`` knows them all. Every time is taken with `time.perf_counter`.
"""
