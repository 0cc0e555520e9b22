"""How `sprite_wan` was made: autoencoder, text encoder and transformer, from rendered clips of the wide world.

    python -m motion_lib.sprites.recipe.wan autoencoder --work DIR --minutes 8
    python -m motion_lib.sprites.recipe.wan transformer --work DIR --minutes 8          (again to carry on)
    python -m motion_lib.sprites.recipe.wan transformer --work DIR --minutes 8 --cool   (the last time)
    python -m motion_lib.sprites.recipe.wan export      --work DIR --out DIR
    python -m motion_lib.sprites.recipe.wan evaluate    --work DIR

Each stage is seeded, saves its state as it goes and carries on from there when started again.
`torchrun --nproc-per-node N -m motion_lib.sprites.recipe.wan …` trains on N GPUs. Photographs come
from an installed scikit-image.
"""
