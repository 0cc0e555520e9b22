"""The sizes of `sprite_t2v`: the ModelScope layout, small enough to train and run on two CPU cores."""

from __future__ import annotations

FRAMES = 16
SIZE = 128
TEXT_LENGTH = 32
TEXT_WIDTH = 96

# Latents get the standard deviation that the scaling factor of Stable Diffusion's autoencoder expects: every host
# that knows ModelScope's latents knows these.
SCALING_FACTOR = 0.18215

AUTOENCODER = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "sample_size": SIZE,
    "block_out_channels": (32, 64, 96, 96),
    "layers_per_block": 1,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "norm_num_groups": 8,
    "scaling_factor": SCALING_FACTOR,
}

UNET = {
    "sample_size": SIZE // 8,
    "block_out_channels": (48, 80, 112, 80),
    "layers_per_block": 2,
    "attention_head_dim": 16,
    "norm_num_groups": 8,
    "cross_attention_dim": TEXT_WIDTH,
}

TEXT_ENCODER = {
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 2 * TEXT_WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": TEXT_LENGTH,
    "hidden_act": "quick_gelu",
}

# Noise reaches a signal-to-noise ratio of exactly zero at the last step and the network predicts velocity. Without this
# the mean colour of a clip would still show through its noise in training, and colours would drift when sampling from
# pure noise (Lin et al. 2023, arXiv 2305.08891).
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}
