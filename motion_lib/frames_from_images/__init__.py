"""Video from an image model without training (ZS², arXiv 2407.21475): frames are sampled side by side, tied by their
start noise (`motion_lib.diffusion.frame_noise`) and by what their spatial self-attention looks at (`momentum`)."""
