"""What an S3 server, or its absence, says: one line with the remedy instead of a page of XML."""

from __future__ import annotations

import re

from annotate.storage.interface import StorageError

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_CREDENTIALS = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and the clock of this machine), "
    "and that they may list, read, write and remove in this bucket"
)
#: By the code of the protocol, or else by the status of HTTP: what it is, and what to do.
_SAID = {
    "NoSuchBucket": "there is no such bucket: make it, or correct the address",
    "InvalidBucketName": "there can be no bucket of this name: correct the address",
    "PermanentRedirect": "the bucket is in another region: set region= in the address",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set region= in the address",
    "QuotaExceeded": "the bucket is full: free some space or raise its quota, then try again",
    "XMinioStorageFull": "the server's disks are full: free some space, then try again",
    "EntityTooLarge": "the server takes no object as large as this: raise its limit",
    "BadDigest": "the bytes changed on their way: try again",
    "SlowDown": "the server asks for fewer requests: try again later, or give it more resources",
    "401": f"the credentials were refused: {_CREDENTIALS}",
    "403": f"the credentials were refused: {_CREDENTIALS}",
    "507": "the server's disks are full: free some space, then try again",
    "503": "the server is overloaded or starting: try again later",
    "500": "the server failed: look at its log, then try again",
    "502": "nothing answers behind the endpoint's proxy: start the server, then try again",
}


def said_by(name: str, error: Exception) -> StorageError:
    """The one line for an error of the library about the storage `name`."""
    text = str(error)
    code, status = _CODE.search(text), _STATUS.search(text)
    for found in (code, status):
        if found and found[1] in _SAID:
            return StorageError(f"{name}: {_SAID[found[1]]}{_unless_known(code)}")
    if status:
        return StorageError(
            f"{name}: the server answered {code[1] if code else status[1]}: look at its log, then try again"
        )
    return StorageError(f"{name}: {_without_answer(text)}")


def _unless_known(code: re.Match[str] | None) -> str:
    """The server's own word where the line is not already about it, for whoever looks it up."""
    return f" ({code[1]})" if code and code[1] not in _SAID else ""


def _without_answer(text: str) -> str:
    """What is wrong where nobody answered."""
    if "credential" in text.lower() or "169.254." in text:
        return f"no credentials were found: {_CREDENTIALS}"
    if "BadScheme" in text or "builder error" in text:
        return "the endpoint cannot be used: write it like endpoint=https://s3.example.org"
    if "TimedOut" in text or "Timeout" in text or "timed out" in text:
        return "the server takes too long to answer: look at its load, or raise timeout= in the address"
    if "kind: Connect" in text or "error sending request" in text:
        return "the server cannot be reached: look whether it runs, and at endpoint= in the address"
    return "the answer broke off: look at the network and the server's log, then try again"
