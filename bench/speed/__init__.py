"""The speed benchmark: npu-diff beside the tools that do part of its work. See README.md."""
