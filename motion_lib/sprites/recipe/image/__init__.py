"""Makes `sprite_image`, a text-to-image model in the layout of Stable Diffusion 1.5, from single frames of the sprite
world and the spatial layers of sprite_t2v, which has the same text encoder and autoencoder.

    python -m motion_lib.sprites.recipe.image unet --work WORK
    python -m motion_lib.sprites.recipe.image export --work WORK --out sprite_image
    python -m motion_lib.sprites.recipe.image evaluate --model sprite_image

The first carries on where it was stopped. Two cores of a CPU are enough; on a GPU take larger batches, and every GPU
of the machine when started by torchrun.
"""
