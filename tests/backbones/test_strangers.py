"""Model folders of strangers: nothing is fetched, nothing of theirs is run, and no memory is taken for what is not
there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizerFast

from motion_lib import backbones
from motion_lib.backbones import load_model, open_model
from motion_lib.backbones.tokens import load_tokenizer
from motion_lib.bundled.models import BUNDLED
from motion_lib.errors import MotionError
from motion_lib.metrics.clip import load_clip
from tests.backbones.folders import PICKLES, WEIGHTS, build, build_clip

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "zeroscope")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "zeroscope"))


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


# Forbids the network, and offers the package that fetches kernels of attention by name.
GUARD = """
import sys
asked = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        asked.append((event, arguments[:1]))
        raise PermissionError("a test forbids the network")
sys.addaudithook(watch)
import motion_lib.cli
code = motion_lib.cli.main(sys.argv[1:])
assert not asked, asked
assert "stolen" not in sys.modules
sys.exit(code)
"""
KERNELS = """
import sys, types
def get_kernel(*arguments, **options):
    sys.modules["stolen"] = types.ModuleType("stolen")
    raise RuntimeError("a kernel was asked for")
get_local_kernel = load_kernel = has_kernel = get_loaded_kernels = use_kernel_forward_from_hub = get_kernel
register_kernel_mapping = replace_kernel_forward_from_hub = kernelize = use_kernel_mapping = get_kernel
class LayerRepository:
    def __init__(self, *arguments, **options): pass
class Mode: pass
FuncRepository = LocalLayerRepository = Device = LayerRepository
"""


def run_guarded(*command: str, stub: Path) -> subprocess.CompletedProcess[str]:
    package = stub / "kernels"
    package.mkdir()
    (package / "__init__.py").write_text(KERNELS)
    (stub / "kernels-0.99.dist-info").mkdir()
    (stub / "kernels-0.99.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: kernels\nVersion: 0.99\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment = kept | {"PYTHONPATH": f"{ROOT}{os.pathsep}{stub}", "HF_HOME": str(stub / "home")}
    return subprocess.run(
        [sys.executable, "-c", GUARD, *command], capture_output=True, text=True, cwd=stub, env=environment, timeout=300
    )


GENERATE = "generate --prompt star --out video.mp4 --frames 2 --width 16 --height 16 --steps 1 --model".split()


@pytest.mark.parametrize(
    ("part", "config", "words"),
    [
        ("vae", '"x"', "should hold a JSON object"),
        ("text_encoder", {"attn_implementation": "evil/kernel"}, "asks for evil/kernel in attn_implementation"),
        ("unet", {"_attn_implementation": "evil/kernel"}, "asks for evil/kernel in _attn_implementation"),
        ("text_encoder", {"quantization_config": {"quant_method": "quanto"}}, "has the field quantization_config"),
        ("vae", {"quantization_config": {"quant_method": "bitsandbytes"}}, "has the field quantization_config"),
        ("text_encoder", {"auto_map": {"AutoModel": "evil--code.Model"}}, "code from a model folder is not run"),
    ],
)
def test_what_would_ask_the_network_is_refused(folder: Path, part: str, config: Any, words: str) -> None:
    path = folder / part / "config.json"
    if isinstance(config, str):
        path.write_text(config)
    else:
        change(path, **config)
    with pytest.raises(MotionError, match=words):
        load_model(folder)


@pytest.mark.parametrize("case", ["a text for a vae", "a kernel", "a model to download"])
def test_nothing_asks_the_network(folder: Path, tmp_path: Path, case: str) -> None:
    """In a process where asking fails and is counted; each of these asked once."""
    stub = tmp_path / "stub"
    stub.mkdir()
    if case == "a text for a vae":
        (folder / "vae" / "config.json").write_text('"x"')
        command = [*GENERATE, str(folder)]
    elif case == "a kernel":
        change(folder / "text_encoder" / "config.json", attn_implementation="evil/kernel")
        command = [*GENERATE, str(folder)]
    else:
        clip = str(ROOT / "motion_lib" / "bundled" / "samples" / "figure_eight.mp4")
        command = ["evaluate", clip, clip, "--text-model", "openai/clip-vit-base-patch32"]
    done = run_guarded(*command, stub=stub)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("motion-inversion")]) == 1


def test_no_other_code_resolves_names() -> None:
    """`from_pretrained` and its like would look for a name on the network; parts are built in backbones/loading.py."""
    asking = re.compile(
        r"from_pretrained\(|snapshot_download|hf_hub_download|load_state_dict_from_url|urlopen|requests"
    )
    code = [path for room in ("motion_lib", "nodes") for path in (ROOT / room).rglob("*.py")]
    found = [path.name for path in code if asking.search(path.read_text().replace("def from_pretrained(", ""))]
    assert len(code) > 100 and found == []


def test_harmless_fields_of_real_folders_are_ignored(folder: Path) -> None:
    change(folder / "text_encoder" / "config.json", _name_or_path="somebody/model", attn_implementation="sdpa")
    change(folder / "unet" / "config.json", _name_or_path="./elsewhere", quantization_config=None, new_field={"a": 1})
    change(folder / "tokenizer" / "tokenizer_config.json", tokenizer_file="/dev/zero", name_or_path="somebody/model")
    assert load_model(folder).encode_prompt(["a star"]).isfinite().all()


@pytest.mark.parametrize(
    ("file", "fields", "words"),
    [
        (
            "text_encoder/config.json",
            {"hidden_size": 40_000},
            "text_encoder: .*another shape than the configuration says",
        ),
        ("text_encoder/config.json", {"num_hidden_layers": 10**8}, "text_encoder: .*describes more layers"),
        ("text_encoder/config.json", {"hidden_size": "wide"}, "text_encoder: "),
        ("text_encoder/config.json", {"num_attention_heads": 3}, "text_encoder: "),
        ("text_encoder/config.json", {"num_attention_heads": 0}, "text_encoder: "),
        ("text_encoder/config.json", {"hidden_act": "evil"}, "text_encoder: "),
        ("text_encoder/config.json", {"model_type": "bert"}, "text_encoder: .*describes bert"),
        ("unet/config.json", {"cross_attention_dim": 12}, "unet: "),
        ("unet/config.json", {"layers_per_block": 10**7}, "unet: .*describes more layers"),
        ("unet/config.json", {"norm_num_groups": 0}, "unet: "),
        ("unet/config.json", {"block_out_channels": [10**8] * 4}, "unet: "),
        ("unet/config.json", {"sample_size": float("inf")}, "sample_size has a value that no such model has"),
        ("vae/config.json", {"latent_channels": 8}, "vae: "),
        ("vae/config.json", {"scaling_factor": 0}, "vae: scaling_factor is 0"),
        ("vae/config.json", {"scaling_factor": "x"}, "vae: "),
        ("vae/config.json", {"_class_name": "AutoencoderKLMagvit"}, "describes AutoencoderKLMagvit"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**8}, "2 to 100000 timesteps"),
        ("scheduler/scheduler_config.json", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "flow matching"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": 0}, "model_max_length"),
        ("tokenizer/tokenizer_config.json", {"pad_token": "evil"}, "lacks the special token evil"),
        ("tokenizer/vocab.json", {"evil": 10**6}, "a word with number 1000000"),
        ("tokenizer/vocab.json", {"evil": "x"}, "every word a whole number of its own"),
        ("tokenizer/vocab.json", {"evil": 5}, "every word a whole number of its own"),
        ("tokenizer/vocab.json", {"evil": 10**9}, "every word a whole number of its own"),
    ],
)
def test_fields_that_make_no_model_are_explained(folder: Path, file: str, fields: dict, words: str) -> None:
    change(folder / file, **fields)
    with pytest.raises(MotionError, match=words) as caught:
        open_model(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 900


def test_nothing_is_allocated_for_a_model_that_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(folder / "text_encoder" / "config.json", hidden_size=40_000, intermediate_size=160_000)
    made = []
    monkeypatch.setattr(backbones.loading, "_Blueprint", blueprint(made))
    with pytest.raises(MotionError, match="another shape"):
        load_model(folder)
    assert len(made) > 100 and all(tensor.is_meta for tensor in made if tensor.numel() > 10**6)


def blueprint(made: list[torch.Tensor]) -> type:
    class Noted(backbones.loading._Blueprint):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            out = super().__torch_function__(func, types, args, kwargs)
            made.extend([out] if isinstance(out, torch.Tensor) else [])
            return out

    return Noted


TEXTS = {
    "deep": "[" * 200_000,
    "huge": '{"a": "' + "x" * 2_000_000 + '"}',
    "a number of many digits": '{"a": ' + "9" * 9000 + "}",
    "nothing": "",
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("file", ["unet/config.json", "tokenizer/tokenizer_config.json"])
def test_json_that_is_none(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(TEXTS[text])
    with pytest.raises(MotionError, match=re.escape(file)):
        load_model(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    "file", ["unet/config.json", "vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json"]
)
def test_pipes_devices_and_loops_are_no_files(folder: Path, file: str) -> None:
    path = folder / file
    for make in (os.mkfifo, lambda path: path.symlink_to(path.name), lambda path: path.symlink_to("/dev/zero")):
        path.unlink()
        make(path)
        with pytest.raises(MotionError, match=r"missing (unet/config.json|vae/ weights|tokenizer/vocab.json)"):
            load_model(folder)


def expanded(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(1).expand(tensor.shape) for name, tensor in weights.items()}


def integers(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.long() for name, tensor in weights.items()}


@pytest.mark.parametrize(("forge", "words"), [(expanded, "larger than the file"), (integers, "no weights")])
def test_pickles_that_are_no_weights(folder: Path, forge: Callable, words: str) -> None:
    path = folder / "unet" / WEIGHTS["unet"]
    torch.save(forge(load_file(path)), path.with_name(PICKLES["unet"]))
    path.unlink()
    with pytest.raises(MotionError, match=f"unet: .*{words}"):
        load_model(folder)


def test_names_of_every_version_are_read(original: Path, folder: Path) -> None:
    """transformers 4 writes text_model. before the names, and diffusers once called the projections otherwise."""
    prompts = ["a red star"]
    before = load_model(original)
    text, vae = folder / "text_encoder" / WEIGHTS["text_encoder"], folder / "vae" / WEIGHTS["vae"]
    names = {name.removeprefix("text_model.") for name in load_file(text)}
    assert "embeddings.token_embedding.weight" in names
    for prefix in ("", "text_model."):
        weights = {prefix + name.removeprefix("text_model."): tensor for name, tensor in load_file(text).items()}
        save_file({**weights, "text_model.embeddings.position_ids": torch.arange(32)[None]}, text)
        assert torch.equal(load_model(folder).encode_prompt(prompts), before.encode_prompt(prompts))
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, tensor in load_file(vae).items():
        for new, once in old.items():
            name = name.replace(f"mid_block.attentions.0.{new}.", f"mid_block.attentions.0.{once}.")
        renamed[name] = tensor
    assert sum(".proj_attn." in name for name in renamed) == 4
    save_file(renamed, vae)
    clip = (torch.rand(2, 8, 8, 3) * 255).to(torch.uint8)
    assert torch.equal(load_model(folder).encode_video(clip), before.encode_video(clip))


def test_tokens_are_those_of_transformers() -> None:
    folder = BUNDLED["sprite_t2v"][0] / "tokenizer"
    theirs, ours = CLIPTokenizerFast.from_pretrained(folder), load_tokenizer(folder)
    for text in ("a red star!", "", "A  Dog's\tlife, 12345 <|endoftext|> x", "naïve café", "!!! it's 3.14", "🎉"):
        assert ours(text).input_ids == theirs(text).input_ids
    assert ours.model_max_length == theirs.model_max_length and ours.pad_token_id == theirs.pad_token_id


def test_special_tokens_of_older_folders(folder: Path) -> None:
    """special_tokens_map.json says what padding is in Stable Diffusion 2 and its kin."""
    (folder / "tokenizer" / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": "!"}}))
    assert load_tokenizer(folder / "tokenizer").pad_token == "!"
    change(folder / "tokenizer" / "tokenizer_config.json", added_tokens_decoder={})
    assert load_tokenizer(folder / "tokenizer").pad_token == "<|endoftext|>"


def test_two_sets_of_shards_are_not_mixed(folder: Path) -> None:
    path = folder / "unet" / WEIGHTS["unet"]
    for total in ("00002", "00003"):
        shutil.copy(path, path.with_name(f"{path.stem}-00001-of-{total}.safetensors"))
    path.unlink()
    with pytest.raises(MotionError, match="keep one of the two sets"):
        load_model(folder)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text_config": "x"}, "text_config should be a JSON object"),
        ({"vision_config": {"image_size": 10**6}}, "could not be loaded"),
        ({"vision_config": {"attn_implementation": "evil/kernel"}}, "asks for evil/kernel"),
        ({"model_type": "siglip"}, "describes siglip"),
    ],
)
def test_clip_models_of_strangers(tmp_path: Path, fields: dict, words: str) -> None:
    folder = build_clip(tmp_path / "clip")
    change(folder / "config.json", **fields)
    with pytest.raises(MotionError, match=words):
        load_clip(folder)
