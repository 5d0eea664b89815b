"""The AnyID model: transformer, pipeline, checkpoint. The only place that imports diffusers."""
