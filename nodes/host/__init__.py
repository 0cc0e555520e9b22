"""Everything that knows ComfyUI's internals. Latents are `[f, c, h, w]` in ComfyUI, frames in the batch, and `[b, c, f,
h, w]` in motion_lib; they are rearranged in this package only."""
