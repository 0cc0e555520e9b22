"""Published pickles become embeddings; anything else is refused in one sentence and never run."""

from __future__ import annotations

import hashlib
import pickle
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from motion_lib.errors import MotionError
from motion_lib.files.convert import MODELSCOPE, convert
from motion_lib.files.embedding_file import load_embedding, save_embedding

DEEP = [layer.name for layer in MODELSCOPE.select("deep")]
GRIDS = {0: (40, 72), 1: (20, 36), 2: (10, 18), 3: (5, 9)}
Name = Callable[[str, str, str], str]


def plain(layer: str, attention: str, kind: str) -> str:
    return f"{layer}.transformer_blocks.0.{attention}.{kind}"


def artefact(
    sites: list[str] | None = None,
    stored: int = 5,
    trained: int = 3,
    name: Name = plain,
    grids: dict[int, tuple[int, int]] = GRIDS,
    values: bool = True,
) -> OrderedDict[str, Tensor]:
    """A small artefact in the published form: rows beyond the trained ones are exactly zero."""
    generator = torch.Generator().manual_seed(0)
    result = OrderedDict()
    for site in sites or DEEP[:2]:
        layer = MODELSCOPE[site]
        h, w = grids[layer.depth]
        shared = torch.randn(1, stored, layer.channels, generator=generator)
        shared[:, trained:] = 0
        for attention in ("attn1", "attn2"):
            result[name(site, attention, "qk")] = shared.clone()
            if values:
                v = torch.randn(h * w, stored, layer.channels, generator=generator)
                v[:, trained:] = 0
                result[name(site, attention, "vSpatial")] = v
    return result


def saved(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "motion_embed.pt"
    torch.save(content, path)
    return path


def test_layout_is_that_of_the_real_model() -> None:
    from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel

    from motion_lib.backbones.unet3d.denoiser import backbone_of

    with torch.device("meta"):
        unet = UNet3DConditionModel()
    assert backbone_of(unet) == MODELSCOPE
    assert len(MODELSCOPE.layers) == 17 and len(MODELSCOPE.select("all")) == 15 and len(DEEP) == 5


def test_every_tensor_arrives_unchanged_without_untrained_rows(tmp_path: Path) -> None:
    original = artefact(DEEP)
    path = saved(tmp_path, original)
    embedding = convert(path)
    assert embedding.frames == 3 and embedding.backbone == MODELSCOPE
    assert embedding.grids == dict.fromkeys(DEEP, (10, 18))
    assert len(embedding.tensors) == 15
    for site in DEEP:
        assert torch.equal(embedding.tensors[f"{site}.qk"], original[plain(site, "attn1", "qk")][:, :3])
        for attention in ("attn1", "attn2"):
            expected = original[plain(site, attention, "vSpatial")][:, :3]
            assert torch.equal(embedding.tensors[f"{site}.{attention}.v"], expected)
    assert embedding.origin.source_file == "motion_embed.pt"
    assert embedding.origin.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert embedding.origin.stored_frames == 5 and embedding.origin.trained_frames == 3


def test_result_is_a_sound_file_of_this_library(tmp_path: Path) -> None:
    embedding = convert(saved(tmp_path, artefact()))
    save_embedding(tmp_path / "a.safetensors", embedding, torch.float32)
    again = load_embedding(tmp_path / "a.safetensors")
    assert (again.origin, again.advice) == (embedding.origin, embedding.advice) and again.grids == embedding.grids
    assert all(torch.equal(again.tensors[k], t) for k, t in embedding.tensors.items())


NAMES: dict[str, Name] = {
    "prefixed": lambda s, a, k: f"module.unet.{s}.transformer_blocks.0.{a}.processor.{k}",
    "slashes": lambda s, a, k: f"{s}/transformer_blocks/0/{a}/{k}".replace(".", "/"),
    "underscores": lambda s, a, k: f"{k}_{s}_{a}".replace(".", "_"),
    "kind first": lambda s, a, k: f"{k}/{s}.{a}",
}


@pytest.mark.parametrize("style", NAMES)
def test_names_are_found_in_any_surroundings(tmp_path: Path, style: str) -> None:
    sites = ["down_blocks.2.temp_attentions.1", "up_blocks.1.temp_attentions.0"]
    expected = convert(saved(tmp_path, artefact(sites)))
    found = convert(saved(tmp_path, artefact(sites, name=NAMES[style])))
    assert found.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(found.tensors[k], t) for k, t in expected.tensors.items())


def test_nested_dictionaries_and_one_shared_query_key(tmp_path: Path) -> None:
    flat = artefact(DEEP[:1])
    site, nested = DEEP[0], {}
    nested[site] = {"qk": flat[plain(site, "attn1", "qk")]}
    nested[site] |= {a: {"v": flat[plain(site, a, "vSpatial")]} for a in ("attn1", "attn2")}
    found, expected = convert(saved(tmp_path, {"unet": nested})), convert(saved(tmp_path, flat))
    assert found.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(found.tensors[k], t) for k, t in expected.tensors.items())


def test_half_precision_and_parameters_become_float32(tmp_path: Path) -> None:
    content = {k: torch.nn.Parameter(t.half()) for k, t in artefact().items()}
    embedding = convert(saved(tmp_path, content))
    assert all(t.dtype == torch.float32 and not t.requires_grad for t in embedding.tensors.values())


def test_frames_can_be_chosen_within_the_trained_ones(tmp_path: Path) -> None:
    path = saved(tmp_path, artefact(stored=6, trained=4))
    assert convert(path).frames == 4
    short = convert(path, frames=2)
    assert {t.shape[1] for t in short.tensors.values()} == {2} and short.origin.trained_frames == 4
    for wrong in (0, 5, -1):
        with pytest.raises(MotionError, match=r"frames is -?\d, but motion_embed.pt has 4 trained frames"):
            convert(path, frames=wrong)


def test_a_row_used_by_one_tensor_only_is_kept(tmp_path: Path) -> None:
    content = artefact(trained=3)
    content[plain(DEEP[1], "attn2", "vSpatial")][7, 3, 11] = 1e-30
    content[plain(DEEP[0], "attn1", "vSpatial")][:, 1] = 0  # zero, but not trailing
    assert convert(saved(tmp_path, content)).frames == 4


def test_grids_of_several_depths_agree_with_one_frame_size(tmp_path: Path) -> None:
    sites = ["down_blocks.1.temp_attentions.0", "up_blocks.1.temp_attentions.2", "mid_block.temp_attentions.0"]
    grids = {1: (13, 25), 2: (7, 13), 3: (4, 7)}  # odd sizes round up at every halving
    embedding = convert(saved(tmp_path, artefact(sites, 3, 2, grids=grids)))
    assert [embedding.grids[s] for s in sites] == [(13, 25), (7, 13), (4, 7)]


def test_grid_is_nearest_to_16_by_9_unless_given(tmp_path: Path) -> None:
    path = saved(tmp_path, artefact(DEEP[:1], 2, 2, grids={2: (12, 12)}))
    assert convert(path).grids[DEEP[0]] == (9, 16) and convert(path).origin.grid_guessed
    given = convert(path, grid=(12, 12))
    assert given.grids[DEEP[0]] == (12, 12) and not given.origin.grid_guessed
    with pytest.raises(MotionError, match=r"grid is \(10, 10\), .* 9×16, 12×12"):
        convert(path, grid=(10, 10))


def test_query_key_alone_needs_no_grid(tmp_path: Path) -> None:
    embedding = convert(saved(tmp_path, artefact(values=False)))
    assert set(embedding.tensors) == {f"{s}.qk" for s in DEEP[:2]}


class Malicious:
    """A pickle that writes a file when it is run."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return (Path.write_text, (self.target, "executed"))


def test_malicious_pickle_is_not_executed(tmp_path: Path) -> None:
    target = tmp_path / "proof"
    content = {**artefact(), "extra": Malicious(target)}
    with pytest.raises(MotionError, match=r"motion_embed.pt was refused unread"):
        convert(saved(tmp_path, content))
    bare = tmp_path / "bare.pt"
    bare.write_bytes(pickle.dumps(Malicious(target)))
    with pytest.raises(MotionError, match=r"bare.pt is not a file of torch.save"):
        convert(bare)
    legacy = tmp_path / "legacy.pt"
    torch.save(content, legacy, _use_new_zipfile_serialization=False)
    with pytest.raises(MotionError, match=r"legacy.pt is not a file of torch.save"):
        convert(legacy)
    assert not target.exists()
    torch.load(tmp_path / "motion_embed.pt", weights_only=False)
    assert target.exists(), "the pickle was harmless, so the test proves nothing"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_file(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path, artefact())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(MotionError, match=r"motion_embed.pt is (damaged|not a file of torch.save)"):
        convert(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(MotionError, match="cannot be read"):
            convert(path)


QK2, V2 = plain(DEEP[1], "attn1", "qk"), plain(DEEP[1], "attn2", "vSpatial")
QK, V = plain(DEEP[0], "attn1", "qk"), plain(DEEP[0], "attn1", "vSpatial")


def _without(content: dict, *keys: str) -> dict:
    return {key: tensor for key, tensor in content.items() if key not in keys}


def _nested(content: dict, depth: int) -> dict:
    for _ in range(depth):
        content = {"a": content}
    return content


def _itself(content: dict) -> dict:
    content["again"] = content
    return content


def _doubled(depth: int) -> dict:
    """A billion laughs: 2^depth entries of one tensor."""
    content: dict = {"qk": torch.ones(1)}
    for _ in range(depth):
        content = {"a": content, "b": content}
    return content


def _pairs(depth: int) -> tuple:
    """The hash of this takes 2^depth steps."""
    pair = ("a",)
    for _ in range(depth):
        pair = (pair, pair)
    return pair


def _nan(tensor: Tensor) -> Tensor:
    tensor[0, 0, 0] = torch.nan
    return tensor


BAD: dict[str, tuple[Callable[[dict], object], str]] = {
    "list": (lambda c: list(c.values()), "holds a list, not a dictionary"),
    "empty": (lambda c: {}, "is an empty dictionary"),
    "empty inside": (lambda c: {"unet": {}}, "is an empty dictionary"),
    "number": (lambda c: {**c, QK: 3}, f"{QK} is a int"),
    "list of tensors": (lambda c: {**c, QK: [c[QK]]}, f"{QK} is a list"),
    "integers": (lambda c: {**c, QK: c[QK].long()}, f"{QK} is not an ordinary tensor"),
    "sparse": (lambda c: {**c, QK: c[QK].to_sparse()}, "refused unread, .*_rebuild_sparse_tensor"),
    "dimensions": (lambda c: {**c, QK: c[QK][0]}, f"{QK} has the shape"),
    "empty tensor": (lambda c: {**c, QK: c[QK][:0]}, f"{QK} has the shape"),
    "width": (lambda c: {**c, V: c[V][..., :640]}, f"{V} has 640 channels"),
    "claims too much": (lambda c: {**c, V: torch.ones(1).expand(9**9, 5, 1280)}, f"{V} claims the shape"),
    "unknown layer": (lambda c: {**c, "up_blocks.9.temp_attentions.0.qk": c[QK]}, "names no temporal layer"),
    "longer number": (lambda c: {**c, "up_blocks.1.temp_attentions.12.qk": c[QK]}, "names no temporal layer"),
    "which attention": (lambda c: {**c, f"{DEEP[0]}.v": c[V]}, "does not say whether"),
    "twice": (lambda c: {**c, f"{V}.copy": c[V]}, "are both a value embedding"),
    "different query-key": (lambda c: {**c, QK: c[QK] + 1}, "differ, but both attentions"),
    "nan": (lambda c: {**c, V: _nan(c[V])}, f"{V} contains NaN"),
    "frame counts": (lambda c: {**c, V: c[V][:, :4]}, "has 5 frames, but .* has 4"),
    "zeros": (lambda c: {k: torch.zeros_like(t) for k, t in c.items()}, "holds zeros only"),
    "no attn2": (lambda c: _without(c, V2), f"no attn2 value embedding for {DEEP[1]}"),
    "no query-key": (
        lambda c: _without(c, QK2, QK2.replace("attn1", "attn2")),
        f"no query-key embedding for {DEEP[1]}",
    ),
    "nested too deeply": (lambda c: _nested(c, 40), "nested too deeply"),
    "nested very deeply": (lambda c: _nested({}, 400), "nested too deeply"),
    "holds itself": (_itself, "there more than once"),
    "billion laughs": (lambda c: _doubled(40), "there more than once"),
    "billion pairs": (lambda c: {**c, "a": _pairs(4)}, "uses a part of its pickle again"),
    "key that is no name": (lambda c: {**c, 10**30: c[QK]}, "has the key 1000"),
    "control characters": (lambda c: {**c, "\x1b[2J\n": c[QK]}, r"the key \\u001b\[2J\\n names no temporal layer"),
    "long key": (lambda c: {**c, "a" * 99999: c[QK]}, "the key aaa.*… names no temporal layer"),
    "float8": (lambda c: {**c, QK: c[QK].to(torch.float8_e5m2)}, "was refused unread"),
    "quantized": (lambda c: {**c, QK: torch.quantize_per_tensor(c[QK], 1.0, 0, torch.qint8)}, "was refused unread"),
    "nested tensor": (lambda c: {**c, QK: torch.nested.nested_tensor([c[QK][0]])}, "was refused unread"),
    "complex": (lambda c: {**c, QK: c[QK].to(torch.complex64)}, "was refused unread"),
    "meta": (lambda c: {**c, QK: c[QK].to("meta")}, "was refused unread"),
    "bytes": (lambda c: {**c, QK: bytearray(b"a")}, "was refused unread"),
    "overlapping": (
        lambda c: {k: c[V].expand(180, 5, 1280) if "Spatial" in k else c[k] for k in c},
        "claim more values than a file",
    ),
    "positions": (lambda c: {**c, V: c[V][:90]}, "has 90 positions, but .* has 180"),
}


@pytest.mark.parametrize("case", BAD)
def test_anything_else_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    change, sentence = BAD[case]
    with pytest.raises(MotionError, match=sentence) as caught:
        convert(saved(tmp_path, change(artefact())))
    assert "motion_embed.pt" in str(caught.value) and "\n" not in str(caught.value)


def changed(path: Path, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write every record of an archive anew."""
    with zipfile.ZipFile(path) as archive:
        records = [(record.filename, archive.read(record)) for record in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records:
            archive.writestr(name, change(name, content))


def test_compressed_archives_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    """100 MB of zeros in 100 kB; unpacked, a tensor that claims them would be sound."""
    path = saved(tmp_path, {QK: torch.zeros(25_000_000)})
    changed(path, lambda name, content: content, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    with pytest.raises(MotionError, match=r"motion_embed.pt is compressed"):
        convert(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_records_that_lie_over_each_other_are_refused(tmp_path: Path) -> None:
    """A directory with many entries for the same bytes."""
    path = saved(tmp_path, artefact())
    with zipfile.ZipFile(path, "a") as archive:
        record = max(archive.infolist(), key=lambda entry: entry.file_size)
        for i in range(20):
            copy = zipfile.ZipInfo(f"archive/data/{1000 + i}")
            for name in ("file_size", "compress_size", "CRC", "header_offset"):
                setattr(copy, name, getattr(record, name))
            archive.filelist.append(copy)
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(MotionError, match="claims to hold more than its"):
        convert(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "holds something other than plain tensors"),
        (b"\x80\x02ctorch\nTensor\nJ\xff\xff\xff\x7f\x85R.", r"\(torch.Tensor\)"),
        (b"\x80\x02}" + b"}q\x00h\x00" * 300_000 + b".", "holds a pickle of 1,500,004 bytes"),
        (b"\x80\x02]q\x00h\x00a.", "holds a list"),
        (b"\x80\x02X\xff\xff\xff\xffa.", "is damaged"),
        (b"\x80\x02", "is damaged"),
        (b"I" + b"9" * 9000 + b"\n.", "is damaged"),
        (b"c\x1b[2J\nx\n.", r"\(\\u001b\[2J.x\)"),
    ],
)
def test_pickles_that_would_fill_the_memory_or_never_end(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = saved(tmp_path, artefact())
    changed(path, lambda name, old: content if name.endswith("data.pkl") else old)
    with pytest.raises(MotionError, match=f"^motion_embed.pt .*{sentence}") as caught:
        convert(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_one_tensor_under_two_names_is_no_repetition(tmp_path: Path) -> None:
    content = artefact()
    for site in DEEP[:2]:
        content[plain(site, "attn2", "qk")] = content[plain(site, "attn1", "qk")]
    assert len(convert(saved(tmp_path, content)).tensors) == 6


def test_positions_of_two_depths_must_agree(tmp_path: Path) -> None:
    sites = ["down_blocks.1.temp_attentions.0", DEEP[0]]
    with pytest.raises(MotionError, match="no frame size explains"):
        convert(saved(tmp_path, artefact(sites, 2, 2, grids={1: (20, 36), 2: (10, 17)})))
