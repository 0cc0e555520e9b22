"""Motion Inversion for ComfyUI. Nothing is imported here: importing this file outside ComfyUI must not fail."""

WEB_DIRECTORY = "./nodes/web"


async def comfy_entrypoint():
    from .nodes import MotionInversionExtension

    return MotionInversionExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
