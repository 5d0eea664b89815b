"""Detectors of faces and bodies: a module each, and the choice of them by settings."""
