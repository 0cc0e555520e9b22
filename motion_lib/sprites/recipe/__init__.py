"""How `sprite_t2v` was made: tokenizer, autoencoder, text encoder and UNet, from rendered clips alone.

    python -m motion_lib.sprites.recipe autoencoder --work DIR
    python -m motion_lib.sprites.recipe unet        --work DIR
    python -m motion_lib.sprites.recipe export      --work DIR --out DIR
    python -m motion_lib.sprites.recipe evaluate    --model DIR

Each stage is seeded, saves its state every few hundred steps and carries on from there when started again.
"""
