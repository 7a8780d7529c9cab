"""The commands of npu-dump, one file each."""
