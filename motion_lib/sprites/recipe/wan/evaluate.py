"""Stage 5 of `sprite_wan`: what the model makes of captions, pictures and seeds that it never saw."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from ...checker import check_frames
from ...scene import random_scenes
from ...vocabulary import TEMPLATES, caption
from ...world.captions import loose_ground, loose_object
from ..judge import judge, summary
from ..text import load_tokenizer, tokenize
from . import autoencoder, distil, transformer
from .clips import unseen
from .design import FRAMES, LATENT_CHANNELS, LATENT_SIDE
from .sampling import sample
from .sheets import write_sheet
from .store import given_picture


class Trained:
    """Text encoder, transformer and autoencoder of a work folder, in half precision on a GPU."""

    def __init__(self, work: Path, device: str, companion: bool = False):
        self.device = device
        self.model, self.vae = transformer.finished(work, device), autoencoder.finished(work, device)
        if companion:
            distil.finished(work, self.model.transformer, device)
        self.tokenizer = load_tokenizer(work / "wan_tokenizer")

    def text(self, captions: list[str]) -> Tensor:
        return self.model.text_encoder(tokenize(self.tokenizer, captions).to(self.device))[0]

    @torch.no_grad()
    def make(self, captions: list[str], seeds: list[int], frames: int, pictures: Tensor | None = None, **how) -> Tensor:
        """Clips `[n, 3, f, h, w]` in [-1, 1]; `pictures` `[n, 3, h, w]` are first frames to start from."""
        shape = (LATENT_CHANNELS, 1 + (frames - 1) // 4, LATENT_SIDE, LATENT_SIDE)
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        made = []
        for i in range(0, len(captions), 32):
            part = slice(i, i + 32)
            text, empty = self.text(captions[part]), self.text([""] * len(captions[part]))
            given = None
            if pictures is not None:
                shown = pictures[part, :, None].to(self.device).expand(-1, -1, frames, -1, -1)
                latents = torch.cat([self.vae.encode(x) for x in given_picture(shown).split(8)])
                mask = torch.zeros_like(latents[:, :4])
                mask[:, :, :1] = 1
                given = torch.cat([mask, latents], dim=1)
            with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.device != "cpu"):
                latents = sample(
                    self.model.transformer, torch.stack(noise[part]).to(self.device), text, empty, given, **how
                )
            made += [self.vae.decode(x).clamp(-1, 1) for x in latents.float().split(8)]
        return torch.cat(made)


def evaluate(
    work: Path,
    pairs: int,
    companion: bool,
    device: str,
    sheets: Path,
    out: Path | None,
    guidance: float,
    steps: int,
    shift: float,
) -> None:
    """Print, and write to `out`, what is right; save contact sheets to the folder `sheets`."""
    trained, how = Trained(work, device, companion), {"guidance": guidance, "steps": steps, "shift": shift}
    result: dict = {**how, **_of_captions(trained, pairs, FRAMES, sheets, how)}
    print(json.dumps(result), flush=True)
    for frames in (17,):
        result[f"{frames}_frames"] = _of_captions(trained, pairs // 2, frames, sheets, how)
        print(json.dumps(result[f"{frames}_frames"]), flush=True)
    for kind in ("classic", "named", "wide", "foreign"):
        result[f"picture_{kind}"] = _of_pictures(trained, kind, pairs // 2, sheets, how)
        print(json.dumps({kind: result[f"picture_{kind}"]}), flush=True)
    loose = [
        "a shape on a background",
        "a figure on a background",
        "a red star on a background",
        "a blob, a background",
    ]
    loose += ["a heart on a striped background", "a shape and another shape on a background", "", "a green shape"]
    write_sheet(sheets / "loose.png", trained.make(loose * 2, list(range(16)), FRAMES, **how))
    if out:
        out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _of_captions(trained: Trained, pairs: int, frames: int, sheets: Path, how: dict) -> dict:
    scenes = random_scenes(pairs, 2, generator=torch.Generator().manual_seed(2026))
    words = [scenes.words(i) for i in range(pairs)]
    captions = [caption(words[i], i % len(TEMPLATES)) for i in range(pairs)]
    clips = trained.make(captions, [2027 + i for i in range(pairs)], frames, **how)
    write_sheet(sheets / f"captions_{frames}.png", clips[:16])
    judged = [
        judge((clip.transpose(0, 1).float().cpu() + 1) / 2, asked) for clip, asked in zip(clips, words, strict=True)
    ]
    return summary([verdict for verdict, _ in judged], [path for _, path in judged])


def _of_pictures(trained: Trained, kind: str, pairs: int, sheets: Path, how: dict) -> dict:
    """First frames given: how well the first frame is kept, and, in the sprites' own look, whether what the checker
    reads in the first frame is there in the middle and at the end. The caption names nothing, or with `named` what is
    in the picture."""
    named, kind = kind == "named", "classic" if kind == "named" else kind
    truth = unseen(kind, pairs, 5, 900_000, trained.device, photographs=False)
    captions = ["a shape on a background"] * pairs
    if named:
        read = [verdict.words for verdict in check_frames((truth[:, :, 0].float().cpu() + 1) / 2)]
        captions = [f"{loose_object(words)} on {loose_ground(words)}" for words in read]
    clips = trained.make(captions, [7 + i for i in range(pairs)], FRAMES, truth[:, :, 0], **how)
    shown = torch.stack([truth[:8, :, 0], *clips[:8].unbind(2)], dim=2)
    write_sheet(sheets / f"picture_{'named' if named else kind}.png", shown, across=9)
    squared = ((clips[:, :, 0] - truth[:, :, 0]) / 2).square().mean(dim=(1, 2, 3))
    psnr = -10 * squared.log10()
    result = {"first_frame_db": round(psnr.mean().item(), 2), "worst_first_frame_db": round(psnr.min().item(), 2)}
    moves = (clips.diff(dim=2).abs().mean(dim=(1, 2, 3, 4)) * 127.5).mean()
    result["mean_change_per_frame"] = round(moves.item(), 3)
    if kind == "classic":
        kept = {"shape": 0.0, "colour": 0.0, "background": 0.0}
        for clip, asked in zip(clips, truth, strict=True):
            frames = torch.stack([asked[:, 0], clip[:, FRAMES // 2], clip[:, -1]]).float().cpu()
            first, middle, last = (verdict.words for verdict in check_frames((frames + 1) / 2))
            for name in ("shape", "colour"):
                kept[name] += getattr(first, name) == getattr(middle, name) == getattr(last, name)
            kept["background"] += len({(w.tone, w.texture) for w in (first, middle, last)}) == 1
        result |= {f"{name}_kept": round(count / pairs, 4) for name, count in kept.items()}
    return result
