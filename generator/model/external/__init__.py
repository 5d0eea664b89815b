"""Networks that are not AnyID: other video models, language models and detectors, from local folders."""
