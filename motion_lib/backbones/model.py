"""A loaded text-to-video model: text in, frames out, and a motion in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import Tensor

from ..bundled.models import SamplingDefaults
from ..diffusion.conditioning import PICTURE, Conditioning
from ..diffusion.denoiser import Denoiser
from ..diffusion.inversion import REFINEMENTS, invert
from ..diffusion.process import Step
from ..diffusion.sampling import random_noise, remaining, sample
from ..errors import MotionError
from ..method.patch import MotionPatch
from ..video.limits import KEPT
from .accelerate.abilities import AbleDenoiser
from .codec import Codec
from .text import TextEncoder

REDRAWING_STEPS, REDRAWN_FROM = 20, 0.1  # see docs/settings.md

if TYPE_CHECKING:
    from ..camera.alignment import CameraAlignment


@dataclass
class VideoModel:
    """Text encoder with tokenizer, codec and denoiser of one model folder, on one device and in one dtype."""

    name: str
    denoiser: AbleDenoiser
    codec: Codec
    text: TextEncoder
    defaults: SamplingDefaults
    device: torch.device
    dtype: torch.dtype

    def latent_shape(self, frames: int, width: int, height: int, batch: int = 1) -> tuple[int, int, int, int, int]:
        """`[b, c, f, h, w]` of the latents of a video of this many frames and pixels.

        Raises MotionError for sizes that the codec cannot divide, for no frames, and for more than a video of any model
        has.
        """
        if frames < 1:
            raise MotionError(f"{frames} frames are asked for, but a video has at least 1.")
        KEPT.check("What is asked for", frames, width, height)
        unit = self.codec.pixels_per_latent
        if width % unit or height % unit or width < unit or height < unit:
            raise MotionError(
                f"The size {width}x{height} does not suit {self.name}: width and height must be multiples of {unit}."
            )
        return batch, self.codec.channels, self.codec.latent_frames(frames), height // unit, width // unit

    @torch.no_grad()
    def encode_prompt(self, prompts: list[str]) -> Tensor:
        """Text embeddings `[n, tokens, width]`."""
        return self.text.encode(prompts).to(self.dtype)

    def check_picture(self) -> None:
        """Raise MotionError unless videos of this model can begin with a picture."""
        if not self.denoiser.abilities.pictures:
            raise MotionError(
                f"{self.name} makes videos of words alone: leave the picture out, or use an image-to-video model."
            )

    def first_frame(self, picture: Tensor, shape: Sequence[int]) -> Tensor:
        """What the denoiser is given of a first frame, `[1, c, f, h, w]`, for latents of this shape: of a picture uint8
        `[height, width, 3]`.

        Raises MotionError for a model that takes none, and for a picture of another size than the video.
        """
        self.check_picture()
        codec: Any = self.codec  # which such models have besides what every codec does
        height, width = (side * codec.pixels_per_latent for side in shape[3:])
        if tuple(picture.shape) != (height, width, 3):
            raise MotionError(
                f"The first frame is {picture.shape[1]}x{picture.shape[0]} and the video {width}x{height}: give them "
                f"one size."
            )
        pixels = rearrange(picture, "h w c -> c h w").to(self.device, self.dtype) / 127.5 - 1
        return codec.first_frame(pixels, codec.frames(shape[2]))

    def conditioning(self, prompts: list[str], pictures: Tensor | None = None) -> Any:
        """What the denoiser takes: text embeddings `[n, tokens, width]`, or with them what `first_frame` gives, for all
        or `[n, c, f, h, w]` for each."""
        text = self.encode_prompt(prompts)
        if pictures is None:
            return text
        return Conditioning(text, {PICTURE: pictures.expand(len(text), -1, -1, -1, -1)})

    def encode_video(self, frames: Tensor) -> Tensor:
        """Latents `[1, c, f, h, w]` of frames: uint8 `[f, height, width, 3]`."""
        return self.codec.encode(rearrange(frames, "f h w c -> f c h w").to(self.device, self.dtype) / 127.5 - 1)

    def decode_video(self, latents: Tensor) -> Tensor:
        """Frames uint8 `[f, height, width, 3]` on the CPU, of latents `[1, c, f, h, w]`."""
        pixels = ((self.codec.decode(latents) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return rearrange(pixels, "f c h w -> f h w c").contiguous()

    def noise(
        self, frames: int | None = None, width: int | None = None, height: int | None = None, seed: int = 0
    ) -> Tensor:
        """Gaussian start noise `[1, c, f, h, w]` for a video of the model's usual length and size, or of these.

        Raises MotionError as `latent_shape` does.
        """
        usual = self.defaults
        shape = self.latent_shape(frames or usual.frames, width or usual.width, height or usual.height)
        return random_noise(shape, seed).to(self.device, self.dtype)

    def check_camera(self) -> None:
        """Raise MotionError unless videos of this model can be held to a camera's path: its latents need a frame for
        every frame of the video."""
        if self.codec.latent_frames(5) != 5:  # a number of frames that every codec takes
            raise MotionError(
                f"A camera's path cannot be followed with {self.name}, whose latents have one frame for several of the "
                f"video: leave the camera out, or use another model."
            )

    def generate(self, prompts: str | Sequence[str], noise: Tensor | None = None, **options: Any) -> list[Tensor]:
        """Videos uint8 `[f, height, width, 3]` on the CPU, one per prompt; options are those of `sample`."""
        return [self.decode_video(part) for part in self.sample(prompts, noise, **options).split(1)]

    def sample(
        self,
        prompts: str | Sequence[str],
        noise: Tensor | None = None,
        *,
        picture: Tensor | None = None,
        patches: Sequence[MotionPatch] = (),
        camera: CameraAlignment | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        sampler: str | None = None,
        on_step: Callable[[Step], object] | None = None,
        fast: bool = True,
    ) -> Tensor:
        """Latents `[b, c, f, h, w]`, a video per prompt.

        noise: `[b, c, f, h, w]`, where one serves all prompts; fresh noise of seed 0 without it. picture: uint8
        `[height, width, 3]`, which all videos begin with. camera: what holds the videos to a camera's path. steps,
        guidance, sampler: the model's usual ones without them. fast: run the model in the fastest way there is, which
        on a GPU takes memory for recordings.
        Raises MotionError for no prompt, for noise that does not suit the prompts, and as `first_frame` and
        `sampling.sample` do.
        """
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        start = self.noise() if noise is None else noise
        if not texts:
            raise MotionError("A video needs a prompt: give at least one.")
        if len(start) not in (1, len(texts)):
            raise MotionError(f"The noise is for {len(start)} videos, but {len(texts)} prompts are given.")
        if camera is not None:
            self.check_camera()
        given = None if picture is None else self.first_frame(picture, start.shape)
        usual = self.defaults.guidance if guidance is None else guidance
        with self._running(fast) as denoiser:
            return sample(
                denoiser,
                start.expand(len(texts), -1, -1, -1, -1),
                self.conditioning(texts, given),
                unconditional=self.conditioning([""] * len(texts), given),
                guidance=usual if camera is None else camera.guidance(usual),
                guide=camera,
                steps=steps or self.defaults.steps,
                sampler=sampler,
                patches=patches,
                on_step=on_step,
            )

    def invert(
        self,
        video: Tensor,
        prompt: str = "",
        *,
        steps: int | None = None,
        refinements: int = REFINEMENTS,
        on_step: Callable[[Step], object] | None = None,
        fast: bool = True,
    ) -> Tensor:
        """The noise `[b, c, f, h, w]` that sampling without guidance turns back into a video: frames uint8 `[f, height,
        width, 3]`, or the latents `[b, c, f, h, w]` of some. See `inversion.invert`."""
        latents = self.encode_video(video) if video.dtype == torch.uint8 else video
        with self._running(fast) as denoiser:
            return invert(
                denoiser,
                latents,
                self.encode_prompt([prompt] * len(latents)),
                steps=steps or self.defaults.steps,
                refinements=refinements,
                on_step=on_step,
            )

    def redraw(self, frames: Tensor, level: float = REDRAWN_FROM, seed: int = 0, fast: bool = True) -> Tensor:
        """A clip uint8 `[f, height, width, 3]` as the model itself would draw it: with a share of noise added, from 0
        to 1 of sampling, and taken away again with nothing asked for, it keeps what moves where and loses looks that
        the model does not know. This is SDEdit (Meng et al. 2021, arXiv 2108.01073, alg. 1) without a prompt.

        Raises MotionError for a level that is not above 0 and at most 1, and as `encode_video` does.
        """
        if not 0 < level <= 1:
            raise MotionError(f"level is {level:g}, but the share of noise must be above 0 and at most 1.")
        latents, process = self.encode_video(frames), self.denoiser.process
        first = remaining(process, REDRAWING_STEPS, 1 - level)[0]
        noise = random_noise(latents.shape, seed, latents)
        with self._running(fast) as denoiser:
            drawn = sample(
                denoiser,
                process.noisy(latents, noise, first),
                self.conditioning([""]),
                steps=REDRAWING_STEPS,
                begin=1 - level,
            )
        return self.decode_video(drawn)

    def _running(self, fast: bool) -> AbstractContextManager[Denoiser]:
        from .accelerate.recorded_sampling import for_sampling

        return for_sampling(self.denoiser) if fast else nullcontext(self.denoiser)
