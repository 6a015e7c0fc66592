"""A deadline for every call: the caller's, else the server's own for this kind of call."""

import asyncio
from collections.abc import Mapping

UNENDING = frozenset({"WatchExportJob", "DownloadExportJob", "UploadAudienceMembers"})
"""Streams end with what they carry, or with their caller."""
DEFAULTS_S: Mapping[str, float] = {
    # Its own `timeout` ends it, 300 s at most.
    "WaitExportJob": 310.0,
}


def of(method: str, remaining_s: float | None, default_s: float) -> tuple[float | None, asyncio.Timeout | None]:
    """Return the deadline on the loop's clock for the calls below, and the block that enforces the server's own one.

    A caller's own deadline is enforced by gRPC.
    """
    if remaining_s is not None:
        return asyncio.get_running_loop().time() + remaining_s, None
    if method in UNENDING:
        return None, None
    deadline = asyncio.get_running_loop().time() + DEFAULTS_S.get(method, default_s)
    return deadline, asyncio.timeout_at(deadline)
