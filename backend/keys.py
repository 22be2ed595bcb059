"""API keys: who may come in. They have names, and are known here by their hashes alone.

    python -m backend.keys NAME         makes a key, prints it once, and says where its hash belongs

A key is 256 random bits, which nobody can guess: one round of SHA-256 hides it as well as a slow hash would (NIST
SP 800-63B, section 3.1.2.2, look-up secrets of 112 bits and more).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import os
import re
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from backend.settings import Settings

LOGGER = logging.getLogger("gunicorn.error.keys")

PREFIX = "burble_"  # so that a key that lies about is known for what it is
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
PAIR = re.compile(rf"(?P<name>{NAME.pattern}):(?P<hash>[0-9a-f]{{64}})")
# The file of keys, as a remark, and the pairs of the environment, as the master has read them last: so that a process
# that lives on through a reload, for the streams that it has, learns that a key is gone.
COPY = "api-keys"
COPIED_FILE = re.compile(r"# (.*)\n")

Version = tuple[int, int, int] | None


class Keys:
    """The keys of one stack, as they are at this moment: a file that has changed is read again.

    A name may have several keys, the old one and the new one, say. A file that is gone holds none; a line in it that is
    no pair is left out, and told in the log. Not thread-safe.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._copy = settings.runtime_path / COPY
        # A model may change its process' folder.
        self._file = settings.api_keys_file and settings.api_keys_file.absolute()
        self._versions: list[Version] = []  # of what has been read
        self._tried: list[Version] = []
        self._names: dict[str, str] = {}  # by hash

    def hash_of(self, key: str) -> str | None:
        """Return the hash that this key is known by; None for a wrong key. Takes the same time for any key."""
        asked = hash_of(key)
        found = None
        for known in self._read():
            if hmac.compare_digest(known, asked):
                found = known
        return found

    def name_of(self, hashed: str) -> str | None:
        """Return the name of the key with this hash; None once it has been taken out."""
        return self._read().get(hashed)

    def any(self) -> bool:
        """Tell whether there is a key at all."""
        return bool(self._read())

    def _read(self) -> dict[str, str]:
        versions = [version_of(file) for file in (self._copy, self._file) if file]
        if versions != self._versions:
            tell = LOGGER.debug if versions == self._tried else LOGGER.error
            self._versions = self._tried = versions
            self._names = {}
            if versions[0] is None:
                self._take(self._settings.api_keys or "", "BURBLE_API_KEYS", tell)
            else:
                copied = self._text_of(self._copy, tell)
                if file := COPIED_FILE.match(copied):
                    self._file = Path(file[1]) if file[1] else None
                self._take(copied, str(self._copy), tell)
            if self._file:
                self._take(self._text_of(self._file, tell), str(self._file), tell)
        return self._names

    def _text_of(self, file: Path, tell: Callable[..., None]) -> str:
        try:
            return text_of(file)
        except FileNotFoundError:
            tell("%s is not there: nobody comes in by it", file)
        except OSError as error:
            tell("The keys in %s cannot be read: %s", file, error)
            self._versions = []  # try again: it may be that too many files are open now
        return ""

    def _take(self, text: str, source: str, tell: Callable[..., None]) -> None:
        good, bad = parse(text)
        self._names.update(good)
        if bad:
            tell("%s: what stands at %s is no NAME:HASH", source, ", ".join(map(str, bad)))


def parse(text: str) -> tuple[dict[str, str], list[int]]:
    """Return the names by their hashes, and the numbers of the entries that are no pair.

    Pairs stand on lines of their own or between commas; what follows a `#` is a remark.
    """
    entries = [
        entry.strip() for line in text.splitlines() for entry in line.partition("#")[0].split(",")
    ]
    pairs = [PAIR.fullmatch(entry) for entry in entries]
    good = {pair["hash"]: pair["name"] for pair in pairs if pair}
    return good, [
        number for number, pair in enumerate(pairs, 1) if pair is None and entries[number - 1]
    ]


def text_of(file: Path) -> str:
    """Return the text of a file of keys, without a byte order mark; what is no UTF-8 spoils its own line alone."""
    return file.read_text("utf-8-sig", "replace")


def version_of(file: Path) -> Version:
    try:
        found = file.stat()
    except OSError:
        return None
    # Its last change, also of who may read it: the time of what was written last is anybody's to set.
    return found.st_ctime_ns, found.st_size, found.st_ino


def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def keep_copy(settings: Settings) -> None:
    """Write down what the environment says of keys, for all processes; the master does that at a start and a reload.

    Where there is no room for them, each process goes by the environment that it began with.
    """
    file = settings.runtime_path / COPY
    unfinished = file.with_suffix(".new")
    try:
        named = settings.api_keys_file.absolute() if settings.api_keys_file else ""
        unfinished.write_text(f"# {named}\n{settings.api_keys or ''}", "utf-8")
        unfinished.replace(file)
    except OSError as error:
        LOGGER.error("The keys of BURBLE_API_KEYS could not be written down: %s", error)
        unfinished.unlink(missing_ok=True)
        file.unlink(missing_ok=True)


def check(settings: Settings) -> None:
    """Raise `ValueError`, with a sentence: the keys cannot be used, or a real model would be open to everybody."""
    _, bad = parse(settings.api_keys or "")
    if bad:
        raise ValueError(
            f"BURBLE_API_KEYS: entry {bad[0]} is no NAME:HASH; `uv run just key NAME` makes one"
        )
    if settings.api_keys_file:
        try:
            _, bad = parse(text_of(settings.api_keys_file))
        except OSError as error:
            raise ValueError(
                f"BURBLE_API_KEYS_FILE: {settings.api_keys_file} cannot be read ({error}); "
                "`uv run just key NAME` makes one"
            ) from None
        if bad:
            raise ValueError(
                f"BURBLE_API_KEYS_FILE: entry {bad[0]} of {settings.api_keys_file} is no NAME:HASH"
            )
    # Others come through a proxy, whatever address it finds Burble at.
    if for_this_machine(settings) and (settings.trusted_proxies or not is_local(settings.bind)):
        port = settings.bind.rpartition(":")[2]
        raise ValueError(
            f"others can reach {settings.bind}{' through a proxy' if settings.trusted_proxies else ''}, "
            f"and everybody there could use {real_models(settings)[0]}. Three ways on:\n"
            "  keys:             `uv run just key NAME` makes one, and says where its hash belongs\n"
            "  let everybody in: BURBLE_ALLOW_ANONYMOUS=1\n"
            f"  this machine:     BURBLE_BIND=127.0.0.1:{port}, and no BURBLE_TRUSTED_PROXIES"
        )


def remark(settings: Settings) -> str:
    """Return what is worth a warning at a start: "" or a sentence."""
    if settings.closed and not Keys(settings).any():
        return "Keys are wanted, and there is none yet: nobody can come in"
    return ""


def for_this_machine(settings: Settings) -> bool:
    """Tell whether there is a real model, no key, and no word that everybody may use it."""
    return bool(real_models(settings)) and not settings.closed and not settings.allow_anonymous


def real_models(settings: Settings) -> list[str]:
    return [model.id for model in settings.models if model.id != "simulated"]


def is_local(binds: str) -> bool:
    """Tell whether only this machine can reach the addresses: gunicorn takes several, separated by commas."""
    return all(
        bind.startswith("unix:") or is_loopback(bind.rpartition(":")[0].strip("[]"))
        for bind in binds.split(",")
    )


def is_loopback(host: str) -> bool:
    """Tell whether a name (RFC 6761, section 6.3) or an address without brackets always means one's own machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def main(arguments: list[str]) -> None:
    """Make a key."""
    if len(arguments) != 1 or not NAME.fullmatch(arguments[0]) or arguments[0].startswith("-"):
        raise SystemExit(
            "A key has a name: letters, digits, `_`, `.` and, but for the first, `-`; at most 64 of them."
        )
    key = PREFIX + secrets.token_urlsafe(32)
    pair = f"{arguments[0]}:{hash_of(key)}"
    file = Settings().api_keys_file
    if file:
        try:
            _add_line(file, pair)
        except OSError as error:
            raise SystemExit(f"{file} cannot be written to: {error}") from None
    print(f"\n  The key, which is shown this once:  {key}\n")
    if file:
        print(f"  Its hash stands in {file} now, and counts at once.\n")
    else:
        print(
            "  Its hash, for BURBLE_API_KEYS (several are separated by commas) or a line of BURBLE_API_KEYS_FILE:\n"
            f"  {pair}\n"
        )


def _add_line(file: Path, line: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as lines:
        before = lines.read()
        lines.write((b"" if before.endswith(b"\n") or not before else b"\n") + f"{line}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1:])
