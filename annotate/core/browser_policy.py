"""What browsers may load for pages of this site."""

from __future__ import annotations


def content_security_policy(clips_from: str = "") -> str:
    """No inline script or style anywhere; clips may be played from memory (blob:).

    Args:
        clips_from: origin of the bucket that browsers fetch clips from, where they do.
    """
    also = f" {clips_from}" if clips_from else ""
    return "; ".join(
        [
            "default-src 'self'",
            f"connect-src 'self'{also}",
            f"img-src 'self' data: blob:{also}",
            f"media-src 'self' blob:{also}",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )
