"""The fault benchmark: what npu-diff says of correct engines, and of real porting faults. See README.md."""
