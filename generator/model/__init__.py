"""The AnyID model, and other networks from local folders. The only place that imports diffusers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline

__all__ = ["AnyIDPipeline"]


def __getattr__(name: str) -> Any:
    """Import the pipeline when it is asked for, so that naming the package costs nothing."""
    if name == "AnyIDPipeline":
        from generator.model.pipeline import AnyIDPipeline

        return AnyIDPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
