"""Convert a GGUF file once to what transformers loads fastest: bfloat16 safetensors, with the tokenizer beside it.

Usage: python scripts/convert_model.py MODEL.gguf FOLDER

bfloat16 is the precision in which the model was published. Rounding to it once, here, lets every run start from the
same numbers: a reference in float32 holds the very weights of a candidate in bfloat16, as it does for people who port
a published checkpoint, and no module is blamed for the rounding of its weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(gguf: Path, folder: Path) -> None:
    """Read `gguf`, write `folder`."""
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name, "local_files_only": True}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(**source)
    # transformers keeps calling a model from a GGUF file quantised, though its weights are not any more,
    # and refuses to save it: its weights move to a model that was not.
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
