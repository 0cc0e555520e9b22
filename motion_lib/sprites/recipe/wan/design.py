"""The sizes of `sprite_wan`: Wan 2.1's layout, small enough to train on one GPU and to run on two CPU cores."""

from __future__ import annotations

import torch

SIZE = 128
FRAMES = 33
SHORT_FRAMES = 17
LATENT_FRAMES = 1 + (FRAMES - 1) // 4
SHORT_LATENT_FRAMES = 1 + (SHORT_FRAMES - 1) // 4
LATENT_SIDE = SIZE // 8

AUTOENCODER_DIM = 16
LATENT_CHANNELS = 16

TRANSFORMER = {"dim": 256, "ffn_dim": 1024, "layers": 12, "text_dim": 96}
HEAD_DIM = 128  # ComfyUI takes the number of heads to be dim / 128
# Noisy latents, the mask of given frames (one channel for each frame of a latent frame), latents of the given picture.
IN_CHANNELS = LATENT_CHANNELS + 4 + LATENT_CHANNELS

SHIFT = 3.0  # of the noise levels in training

# What every host of Wan 2.1 takes the autoencoder's latents to be distributed like; they are fitted to it on export.
# fmt: off
LATENTS_MEAN = torch.tensor([
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
])
LATENTS_STD = torch.tensor([
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
])
# fmt: on
