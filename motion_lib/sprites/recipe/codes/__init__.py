"""How the encoder of motion codes for sprite_t2v is trained, from rendered clips alone.

python -m motion_lib.sprites.recipe.codes train --work work --minutes 6
torchrun --nproc-per-node 2 -m motion_lib.sprites.recipe.codes train --work work --minutes 6
python -m motion_lib.sprites.recipe.codes export --work work --out sprite_t2v.codes.safetensors
python -m motion_lib.sprites.recipe.codes evaluate --codes sprite_t2v.codes.safetensors --out results"""
