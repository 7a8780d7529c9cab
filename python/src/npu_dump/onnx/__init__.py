"""`npu-dump onnx`: an ONNX model on the CPU, every intermediate tensor into a dump. Needs no torch."""
