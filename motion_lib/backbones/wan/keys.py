"""The names that diffusers has for the tensors of Wan's own files, which ComfyUI reads as they are.

Both lists were read off the classes; the layers are the same, in the same shapes.
"""

from __future__ import annotations

import re

ATTENTION = {
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "o": "to_out.0",
    "norm_q": "norm_q",
    "norm_k": "norm_k",
    "k_img": "add_k_proj",
    "v_img": "add_v_proj",
    "norm_k_img": "norm_added_k",
}
BLOCK = {
    "modulation": "scale_shift_table",
    **{f"self_attn.{old}": f"attn1.{new}" for old, new in ATTENTION.items()},
    **{f"cross_attn.{old}": f"attn2.{new}" for old, new in ATTENTION.items()},
    "norm3": "norm2",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
}
EMBEDDER = "condition_embedder"
TRANSFORMER = {
    "patch_embedding": "patch_embedding",
    "text_embedding.0": f"{EMBEDDER}.text_embedder.linear_1",
    "text_embedding.2": f"{EMBEDDER}.text_embedder.linear_2",
    "time_embedding.0": f"{EMBEDDER}.time_embedder.linear_1",
    "time_embedding.2": f"{EMBEDDER}.time_embedder.linear_2",
    "time_projection.1": f"{EMBEDDER}.time_proj",
    "img_emb.emb_pos": f"{EMBEDDER}.image_embedder.pos_embed",
    "img_emb.proj.0": f"{EMBEDDER}.image_embedder.norm1",
    "img_emb.proj.1": f"{EMBEDDER}.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": f"{EMBEDDER}.image_embedder.ff.net.2",
    "img_emb.proj.4": f"{EMBEDDER}.image_embedder.norm2",
    "head.head": "proj_out",
    "head.modulation": "scale_shift_table",
}
RESIDUAL = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}
RESAMPLE = {"resample.1": "resample.1", "time_conv": "time_conv"}
HALF = {
    "conv1": "conv_in",
    **{f"middle.0.{old}": f"mid_block.resnets.0.{new}" for old, new in RESIDUAL.items()},
    **{f"middle.1.{name}": f"mid_block.attentions.0.{name}" for name in ("norm", "to_qkv", "proj")},
    **{f"middle.2.{old}": f"mid_block.resnets.1.{new}" for old, new in RESIDUAL.items()},
    "head.0": "norm_out",
    "head.2": "conv_out",
}
LEVELS = 4
RESNETS = 3  # of a level of the decoder, which has its upsampling after them; the encoder's levels have one less
AUTOENCODER = {
    "conv1": "quant_conv",
    "conv2": "post_quant_conv",
    **{f"{half}.{old}": f"{half}.{new}" for half in ("encoder", "decoder") for old, new in HALF.items()},
    **{
        f"encoder.downsamples.{place}.{old}": f"encoder.down_blocks.{place}.{new}"
        for place in range(LEVELS * RESNETS - 1)
        for old, new in (RESAMPLE if place % RESNETS == RESNETS - 1 else RESIDUAL).items()
    },
    **{
        f"decoder.upsamples.{level * (RESNETS + 1) + place}.{old}": f"decoder.up_blocks.{level}.resnets.{place}.{new}"
        for level in range(LEVELS)
        for place in range(RESNETS)
        for old, new in RESIDUAL.items()
    },
    **{
        f"decoder.upsamples.{level * (RESNETS + 1) + RESNETS}.{old}": f"decoder.up_blocks.{level}.upsamplers.0.{new}"
        for level in range(LEVELS - 1)
        for old, new in RESAMPLE.items()
    },
}
PARAMETER = re.compile(r"(?P<block>blocks\.[0-9]{1,4}\.)?(?P<layer>.+?)(?P<ending>\.(weight|bias|gamma))?")


def transformer_name(name: str) -> str | None:
    """What diffusers' WanTransformer3DModel calls a tensor, or None for one that it does not have."""
    return _renamed(name, BLOCK, TRANSFORMER)


def autoencoder_name(name: str) -> str | None:
    """What diffusers' AutoencoderKLWan calls a tensor, or None for one that it does not have."""
    return _renamed(name, {}, AUTOENCODER)


def _renamed(name: str, in_block: dict[str, str], layers: dict[str, str]) -> str | None:
    found = PARAMETER.fullmatch(name)
    if not found:
        return None
    layer = (in_block if found["block"] else layers).get(found["layer"])
    return layer and f"{found['block'] or ''}{layer}{found['ending'] or ''}"
