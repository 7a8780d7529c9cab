"""Captures what vLLM computes: the engine that most ports run on, on NPU (vLLM-Ascend), GPU and CPU.

`run` is the side of the user's process, `worker` that of the engine's, where the model is. `adapter` alone knows
what differs between versions of the engine.
"""
