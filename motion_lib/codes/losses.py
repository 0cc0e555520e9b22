"""What motion codes learn by, one function each, with its source. Those of the frozen model's denoising are
`training/losses.py`; which codes meet which clip there is the work of `swapped`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.1
LEAST = 1e-4  # variance below which codes count as the same


def swapped(codes: Tensor) -> Tensor:
    """Codes `[g, o, c, f, k, width]` of o object paths under each of c cameras: for each pair, the object's token of
    the clip with the same path under another camera, and the camera's token of the clip with another path under the
    same camera. What the frozen model must make of them is the pair, which neither clip shows (Autoencoders with
    content and motion swapped: Szabó et al., arXiv 1711.02245; Jha et al., arXiv 1804.10469)."""
    return torch.stack([codes.roll(1, dims=2)[..., 0, :], codes.roll(1, dims=1)[..., 1, :]], dim=-2)


def same_motion(first: Tensor, second: Tensor, alike: Tensor | None = None) -> Tensor:
    """InfoNCE, both ways, over unit vectors `[n, d]` of n motions in one look and in another (CPC, arXiv 1807.03748,
    eq. 4; with several positives as in arXiv 2004.11362, eq. 2). alike: which pairs are of the same motion, `[n, n]`;
    without it those on the diagonal."""
    likeness = first @ second.T / TEMPERATURE
    wanted = torch.eye(len(first), device=first.device) if alike is None else alike.float()
    return 0.5 * (_chosen(likeness, wanted) + _chosen(likeness.T, wanted.T))


def _chosen(likeness: Tensor, wanted: Tensor) -> Tensor:
    """−mean log softmax of what is wanted of each row; rows in which nothing is do not count."""
    count = wanted.sum(dim=1)
    found = -(likeness.log_softmax(dim=1) * wanted).sum(dim=1) / count.clamp(min=1)
    return found.sum() / (count > 0).sum().clamp(min=1)


def same_words(vectors: Tensor, said: Tensor, asked: Tensor, true: Tensor) -> Tensor:
    """The same between motions `[n, d]` and the words that say them, `said` `[m, d]`: the words asked for, `[m, words]`
    of 0 and 1, are said of every motion whose true words, `[n, words]`, hold all of them (CLIP, arXiv 2103.00020, with
    several positives as above)."""
    return same_motion(vectors, said, (true @ asked.T) >= asked.sum(dim=1))


def one_code(first: Tensor, second: Tensor, counts: Tensor) -> Tensor:
    """How far the codes `[b, f, k, width]` of one motion in two looks are apart, Σ (z − z')², in units of how far those
    of two motions are: 0 for the same codes, about 1 for codes that have nothing to do with each other. What differs
    between them is the look.

    It is the invariance term of VICReg (arXiv 2105.04906, eq. 5) over the variance between clips, as in Fisher's
    discriminant: alone, that term is least where all codes are the same, and there it led within 20 steps. counts: how
    much each of them does, broadcast.
    """
    counts = counts.expand_as(first)
    apart = ((first - second).square() * counts).sum()
    spread = sum(((z - z.mean(dim=0, keepdim=True)).square() * counts).sum() for z in (first, second))
    return apart / (spread + LEAST * counts.sum()).clamp(min=1e-6)


def labelled(found: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Mean squared error of what a head reads, `[b, f, n]`, where the truth is known, `[b]` of 0 and 1: few labels do
    most of it (LAOM, arXiv 2502.00379, sec. 5)."""
    error = (found.float() - truth).square().mean(dim=(1, 2))
    return (error * known).sum() / known.sum().clamp(min=1)


def reversed_apart(codes: Tensor, backwards: Tensor) -> Tensor:
    """max(0, cos) of codes `[b, f, k, width]` of clips and of the same clips played backwards, frame by frame, each
    without the mean over the batch: a motion and its reverse must not look alike (the probe of CoMo, arXiv 2505.17006,
    table 4)."""
    mean = torch.cat([codes, backwards]).mean(dim=(0, 1), keepdim=True).detach()
    return F.cosine_similarity((codes - mean).flatten(1), (backwards - mean).flatten(1), dim=-1).clamp(min=0).mean()


def movement_weight(latents: Tensor, floor: float = 0.5) -> Tensor:
    """√w `[b, 1, f, h, w]`, to scale prediction and target by, so that what moves counts more: w is `floor` where
    nothing does and grows with the distance from the clip's median frame, with mean 1 (MaskLAM; the mask is that of
    training/motion_mask.py, without its threshold)."""
    far = (latents - latents.median(dim=2, keepdim=True).values).norm(dim=1, keepdim=True)
    share = far / far.mean(dim=(2, 3, 4), keepdim=True).clamp(min=1e-6)
    return (floor + (1 - floor) * share.clamp(max=8)).sqrt()


def shift_tolerant(prediction: Tensor, target: Tensor, reach: int = 2, price: float = 0.002) -> Tensor:
    """Reconstruction that a slight movement of the camera costs nothing: of pictures `[n, c, h, w]`, the least mean
    squared error over all shifts of the whole target by up to `reach` pixels, each pixel further away than one costing
    `price`. Borders that a shift leaves open do not count. A larger shift, and anything that moves apart from the
    rest, costs what it costs plainly."""
    _, _, h, w = target.shape
    errors = []
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            ours = prediction[..., max(0, y) : h + min(0, y), max(0, x) : w + min(0, x)]
            theirs = target[..., max(0, -y) : h + min(0, -y), max(0, -x) : w + min(0, -x)]
            far = max(0.0, float(torch.tensor([x, y]).float().norm()) - 1)
            errors.append((ours - theirs).square().mean(dim=(1, 2, 3)) + price * far)
    return torch.stack(errors).amin(dim=0).mean()
