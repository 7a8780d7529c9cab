"""`npu-dump endpoint` against a server that knows its answers, and can misbehave in any way."""
