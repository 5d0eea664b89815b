"""The VAE's class: upstream's own, named here because only this package imports diffusers."""

from diffusers import AutoencoderKLWan

__all__ = ["AutoencoderKLWan"]
