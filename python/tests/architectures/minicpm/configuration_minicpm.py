"""The configuration of MiniCPM: a Llama's, and three constants of its own."""

from transformers import PretrainedConfig


class MiniCPMConfig(PretrainedConfig):
    """Constants of MiniCPM.

    Args:
        scale_emb: factor of the embeddings.
        scale_depth: over the root of the number of layers, the factor of what each block adds.
        dim_model_base: the final norm's output is divided by ``hidden_size / dim_model_base`` before the head.
    """

    model_type = "minicpm"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012 - as transformers has it

    def __init__(
        self,
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=None,
        max_position_embeddings=2048,
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        use_cache=True,
        tie_word_embeddings=True,
        scale_emb=1,
        dim_model_base=1,
        scale_depth=1,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads or num_attention_heads
        self.max_position_embeddings = max_position_embeddings
        self.rms_norm_eps = rms_norm_eps
        self.rope_theta = rope_theta
        self.use_cache = use_cache
        self.scale_emb = scale_emb
        self.dim_model_base = dim_model_base
        self.scale_depth = scale_depth
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)
