"""The style sheet, the script and the icon: read once, compressed once, and named after their content.

A name that has a digest of the content can be kept by browsers for ever: what changes has another name.
"""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

PREFIX = "/static/"
"""The path below which the files are served."""

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOREVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """One file.

    Attributes:
        path: The path under which it is served, digest included.
        content: Its bytes.
        compressed: Its bytes, compressed with gzip.
        media_type: Its media type.
    """

    path: str
    content: bytes
    compressed: bytes
    media_type: str


class Assets:
    """All files of the folder ``static``. Nothing in them is secret, so that compression reveals nothing."""

    def __init__(self) -> None:
        self._by_name: dict[str, Asset] = {}
        for file in files("gateway.console").joinpath("static").iterdir():
            stem, _, ending = file.name.rpartition(".")
            if ending in _TYPES:
                content = file.read_bytes()
                digest = hashlib.sha256(content).hexdigest()[:12]
                self._by_name[file.name] = Asset(
                    f"{PREFIX}{stem}.{digest}.{ending}",
                    content,
                    gzip.compress(content, mtime=0),
                    _TYPES[ending],
                )
        self._by_path = {asset.path: asset for asset in self._by_name.values()}

    def path(self, name: str) -> str:
        """Return the path of a file, for templates."""
        return self._by_name[name].path

    async def serve(self, request: Request) -> Response:
        """Answer with a file."""
        asset = self._by_path.get(request.url.path)
        if asset is None:
            return PlainTextResponse("There is no such file.", 404)
        is_compressed = "gzip" in request.headers.get("accept-encoding", "")
        headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
        if is_compressed:
            headers["Content-Encoding"] = "gzip"
        content = asset.compressed if is_compressed else asset.content
        return Response(content, media_type=asset.media_type, headers=headers)
