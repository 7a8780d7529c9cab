"""Does this environment compute what it should? Versions, devices, products in every precision, a small model.

`software` and `npu_smi` look at what is installed, in this process, which never imports torch. `worker` is another
process that does: a library that crashes or hangs there is a check that fails, not the end of all checks.
"""
