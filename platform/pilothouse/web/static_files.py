"""Static files under names that carry their content's hash: cached for a year, sent compressed, read once.

`/-/static/<plugin>/<hash>/<file>` serves the files of the core ("core") and of plugins that brought a static folder. An
unknown hash answers 404 rather than another version under a name that is cached for ever.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from flask import Blueprint, Flask, Response, request, url_for

from pilothouse.access import PUBLIC
from pilothouse.errors import NotFound

BLUEPRINT = "static_files"
YEAR_S = 31_536_000
HASH_LENGTH = 12  # 48 bits tell versions of one file apart
TEXT_TYPES = ("text/", "application/javascript", "image/svg+xml", "application/json")


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file in memory: its bytes, their gzip form where that is smaller, its type and its hash."""

    body: bytes
    packed: bytes | None
    mimetype: str
    digest: str


class StaticFiles:
    """The files of all known folders, each read and compressed at its first use."""

    permission = PUBLIC  # style and scripts hold nothing that a visitor of the sign-in page may not see

    def __init__(self, *, reread: bool = False) -> None:
        """Start without folders; `reread` looks at the disk each time, for people who edit the files."""
        self._folders: dict[str, Path] = {}
        self._files: dict[tuple[str, str], StaticFile] = {}
        self._lock = Lock()
        self._reread = reread

    def add(self, owner: str, folder: Path) -> None:
        """Serve a folder's files under the owner's name."""
        self._folders[owner] = folder.resolve()

    def get(self, owner: str, name: str) -> StaticFile:
        """Return a file. Raises NotFound, also for a name that leaves the folder."""
        known = self._files.get((owner, name))
        if known is not None and not self._reread:
            return known
        with self._lock:
            loaded = self._files[owner, name] = _load(self._folders.get(owner), name)
        return loaded

    def url(self, name: str, owner: str = "core") -> str:
        """Return a file's address, which carries its hash. Raises NotFound."""
        return url_for(f"{BLUEPRINT}.file", owner=owner, digest=self.get(owner, name).digest, name=name)

    def data(self, name: str, owner: str = "core") -> str:
        """Return a small file as a data: address, which costs no request. Raises NotFound."""
        file = self.get(owner, name)
        return f"data:{file.mimetype};base64,{b64encode(file.body).decode()}"

    def serve(self, owner: str, digest: str, name: str) -> Response:
        """Answer a request for a file, compressed where the browser reads gzip."""
        file = self.get(owner, name)
        if digest != file.digest:
            raise NotFound(f"No version {digest} of {name}")
        return self._answer(file, f"public, max-age={YEAR_S}, immutable")

    def favicon(self) -> Response:
        """Answer the address that browsers ask for without being told."""
        return self._answer(self.get("core", "favicon.svg"), "public, max-age=86400")

    @staticmethod
    def _answer(file: StaticFile, cache: str) -> Response:
        packed = file.packed if request.accept_encodings.quality("gzip") else None
        response = Response(packed or file.body, mimetype=file.mimetype)
        response.headers["Cache-Control"] = cache
        response.headers["Vary"] = "Accept-Encoding"
        response.set_etag(file.digest + ("-gz" if packed else ""))
        if packed:
            response.headers["Content-Encoding"] = "gzip"
        response.make_conditional(request)
        return response


def _load(folder: Path | None, name: str) -> StaticFile:
    path = None if folder is None else (folder / name).resolve()
    if folder is None or path is None or not path.is_relative_to(folder) or not path.is_file():
        raise NotFound(f"No file {name}")
    body = path.read_bytes()
    mimetype = mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = gzip.compress(body, 9, mtime=0) if mimetype.startswith(TEXT_TYPES) else b""
    digest = hashlib.sha256(body).hexdigest()[:HASH_LENGTH]
    return StaticFile(body, packed if 0 < len(packed) < len(body) else None, mimetype, digest)


def init_static(app: Flask) -> StaticFiles:
    """Serve the core's static files; plugins' folders are added to the returned object."""
    files = StaticFiles(reread=app.debug)
    files.add("core", Path(__file__).parent / "static")
    blueprint = Blueprint(BLUEPRINT, __name__)
    blueprint.add_url_rule("/-/static/<owner>/<digest>/<path:name>", "file", files.serve)
    blueprint.add_url_rule("/favicon.ico", "favicon", files.favicon)
    app.register_blueprint(blueprint)
    app.add_template_global(files.url, "static_url")
    app.add_template_global(files.data, "static_data")
    return files
