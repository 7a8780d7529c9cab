"""MiniCPM in plain PyTorch: Llama's layers, and three scales that no other architecture has together."""

import math

import torch
from torch import nn
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration_minicpm import MiniCPMConfig


class MiniCPMRMSNorm(nn.Module):
    """Root mean square norm, in float32."""

    def __init__(self, hidden_size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.variance_epsilon = eps

    def forward(self, hidden):
        """Return the normalised rows."""
        variance = hidden.float().pow(2).mean(-1, keepdim=True)
        return (hidden * torch.rsqrt(variance + self.variance_epsilon)).to(hidden.dtype) * self.weight


def rotate(x, positions, theta):
    """Rotate queries or keys ``[B, heads, T, D]`` by their positions ``[B, T]``."""
    half = x.shape[-1] // 2
    frequencies = theta ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = positions[:, None, :, None].float() * frequencies
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class MiniCPMAttention(nn.Module):
    """Grouped-query attention."""

    def __init__(self, config, layer_idx):
        super().__init__()
        self.config, self.layer_idx = config, layer_idx
        self.head_dim = config.hidden_size // config.num_attention_heads
        width = config.num_key_value_heads * self.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, hidden_states, attention_mask, position_ids, past_key_value=None):
        """Return what the attention adds, and no weights."""
        batch, length, _ = hidden_states.shape

        def heads(projection):
            return projection(hidden_states).view(batch, length, -1, self.head_dim).transpose(1, 2)

        theta = self.config.rope_theta
        query = rotate(heads(self.q_proj), position_ids, theta)
        key, value = rotate(heads(self.k_proj), position_ids, theta), heads(self.v_proj)
        if past_key_value is not None:
            key, value = past_key_value.update(key, value, self.layer_idx)
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        weights = query @ key.transpose(2, 3) / math.sqrt(self.head_dim) + attention_mask
        weights = weights.float().softmax(dim=-1).to(query.dtype)
        output = (weights @ value).transpose(1, 2).reshape(batch, length, -1)
        return self.o_proj(output), None


class MiniCPMMLP(nn.Module):
    """Gated MLP."""

    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x):
        """Return what the MLP adds."""
        return self.down_proj(nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


class MiniCPMDecoderLayer(nn.Module):
    """Attention and MLP, each scaled by ``scale_depth`` over the root of the number of layers."""

    def __init__(self, config, layer_idx):
        super().__init__()
        self.self_attn = MiniCPMAttention(config, layer_idx)
        self.mlp = MiniCPMMLP(config)
        self.input_layernorm = MiniCPMRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = MiniCPMRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.scale_depth = config.scale_depth
        self.num_hidden_layers = config.num_hidden_layers

    def forward(self, hidden_states, attention_mask, position_ids, past_key_value=None):
        """Return the residual stream after the layer, in a tuple."""
        scale = self.scale_depth / math.sqrt(self.num_hidden_layers)
        residual = hidden_states
        hidden_states, _ = self.self_attn(
            hidden_states=self.input_layernorm(hidden_states),
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_value=past_key_value,
        )
        hidden_states = residual + hidden_states * scale
        residual = hidden_states
        hidden_states = self.mlp(self.post_attention_layernorm(hidden_states))
        hidden_states = residual + hidden_states * scale
        return (hidden_states,)


class MiniCPMPreTrainedModel(PreTrainedModel):
    """What MiniCPM's models share."""

    config_class = MiniCPMConfig
    base_model_prefix = "model"
    _no_split_modules = ["MiniCPMDecoderLayer"]  # noqa: RUF012 - as transformers has it


class MiniCPMModel(MiniCPMPreTrainedModel):
    """Embedding, layers and final norm."""

    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        layers = range(config.num_hidden_layers)
        self.layers = nn.ModuleList([MiniCPMDecoderLayer(config, index) for index in layers])
        self.norm = MiniCPMRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_init()

    def get_input_embeddings(self):
        """Return the embedding."""
        return self.embed_tokens

    def set_input_embeddings(self, value):
        """Replace the embedding."""
        self.embed_tokens = value

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        inputs_embeds=None,
        use_cache=None,
        output_hidden_states=False,
    ):
        """Return the final norm's output, the cache, and on request all hidden states."""
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids) * self.config.scale_emb
        use_cache = self.config.use_cache if use_cache is None else use_cache
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        length = inputs_embeds.shape[1]
        if position_ids is None:
            position_ids = torch.arange(past, past + length, device=inputs_embeds.device)[None]
        mask = _causal_mask(attention_mask, inputs_embeds, past)
        hidden_states = inputs_embeds
        seen = [hidden_states]
        for layer in self.layers:
            (hidden_states,) = layer(
                hidden_states, attention_mask=mask, position_ids=position_ids, past_key_value=past_key_values
            )
            seen.append(hidden_states)
        hidden_states = self.norm(hidden_states)
        seen[-1] = hidden_states
        return BaseModelOutputWithPast(
            last_hidden_state=hidden_states,
            past_key_values=past_key_values,
            hidden_states=tuple(seen) if output_hidden_states else None,
        )


def _causal_mask(attention_mask, embeds, past):
    """Return what is added to the scores: 0, or the least number where a token may not look."""
    length = embeds.shape[1]
    rows = torch.arange(past, past + length, device=embeds.device)[:, None]
    allowed = (torch.arange(past + length, device=embeds.device)[None] <= rows)[None, None]
    if attention_mask is not None:
        allowed = allowed & attention_mask[:, None, None, :].bool()
    return torch.zeros_like(allowed, dtype=embeds.dtype).masked_fill(~allowed, torch.finfo(embeds.dtype).min)


class MiniCPMForCausalLM(MiniCPMPreTrainedModel, GenerationMixin):
    """MiniCPM with its head."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012 - as transformers has it

    def __init__(self, config):
        super().__init__(config)
        self.model = MiniCPMModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        """Return the embedding."""
        return self.model.embed_tokens

    def set_input_embeddings(self, value):
        """Replace the embedding."""
        self.model.embed_tokens = value

    def get_output_embeddings(self):
        """Return the head."""
        return self.lm_head

    def set_output_embeddings(self, value):
        """Replace the head."""
        self.lm_head = value

    def get_decoder(self):
        """Return the model without its head."""
        return self.model

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        inputs_embeds=None,
        use_cache=None,
        output_hidden_states=False,
        logits_to_keep=0,
        **_kwargs,
    ):
        """Return the logits."""
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
        )
        hidden_states = outputs.last_hidden_state[:, -logits_to_keep:]
        logits = self.lm_head(hidden_states / (self.config.hidden_size / self.config.dim_model_base))
        return CausalLMOutputWithPast(
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
        )


def minicpm(**config):
    """Return a model with random weights whose code is saved with it."""
    MiniCPMConfig.register_for_auto_class()
    MiniCPMForCausalLM.register_for_auto_class("AutoModelForCausalLM")
    return MiniCPMForCausalLM(MiniCPMConfig(**config))
