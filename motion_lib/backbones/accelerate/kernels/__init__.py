"""Triton kernels for what a frozen video UNet spends its memory bandwidth on, with gradients of inputs only.

Everything is computed in float32 between reading and writing. Importing one of these files needs Triton; without it,
motion_lib.backbones.accelerate.frozen_layers uses PyTorch's own operations.
"""
