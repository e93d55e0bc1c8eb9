"""StoreLocation: where a store lies, a folder or a prefix of an object store, and what is done there without Lance.

`as_location` reads a path or an address such as s3://bucket/folder. As for Lance, the environment names the object
store and the credentials: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION,
AWS_ALLOW_HTTP; likewise GOOGLE_… and AZURE_….
"""

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from vimoclip.atomic import atomic_write
from vimoclip.errors import RunError, StoreError, StoreUnreachableError

# obstore and Lance give the cause of an error in its text alone.


_NOT_SERVED = ("Generic ", "necessary privileges", "valid authentication", "Commit result", " 401 ", " 403 ")


def not_served(error: Exception) -> bool:
    """Whether an error of Lance's is the fault of the object store, and not of what lies there.

    Reading a file that was cut short asks for what it does not have (416), which is not the object store's fault.
    """
    text = str(error)
    return any(sign in text for sign in _NOT_SERVED) and " 416 " not in text


def unreachable(error: Exception, where: object) -> StoreUnreachableError:
    """Build the error that says why an object store cannot be used.

    Args:
        error: obstore's or Lance's own, whose text names the cause.
        where: the place, named in the message.
    """
    text = str(error)
    none = ("There are no credentials", "Give them in the environment: see docs/cluster.md.")
    unknown = ("The object store does not know you", "Check the credentials in the environment.")
    refused = ("The object store refuses", "Check the credentials in the environment, and what they allow.")
    known = {
        "169.254.169.254": none,  # where a cloud's own machines would look for some
        "get AWS credentials": none,
        "Account must be specified": none,
        "resolve region": ("The bucket cannot be found", "Give its AWS_DEFAULT_REGION, or AWS_ENDPOINT_URL."),
        "NoSuchBucket": ("There is no such bucket", "Make it, or name another with --store."),
        "ContainerNotFound": ("There is no such container", "Make it, or name another with --store."),
        "PermanentRedirect": ("The bucket is in another region", "Give its AWS_DEFAULT_REGION."),
        "ExpiredToken": ("The credentials have expired", "Put fresh ones in the environment."),
        " 401 ": unknown,
        "valid authentication": unknown,
        " 403 ": refused,
        "necessary privileges": refused,
    }
    what, hint = "The object store does not answer", "Check the network and AWS_ENDPOINT_URL, then run it again."
    for sign, meaning in known.items():
        if sign in text:
            what, hint = meaning
            break
    return StoreUnreachableError(
        f"{what}: {where}.", received=text.splitlines()[0][:300], hint=f"{hint} Everything committed is safe."
    )


SCHEMES = ("s3", "gs", "az")
_LATE_COMMIT_S = 15 * 60.0
_BUCKET = re.compile(r"[A-Za-z0-9._-]+")
_PART = re.compile(r"[^?#\x00-\x1f\x7f]+")  # obstore and Lance cut an address at these, as if it were a web page's


class StoreLocation(Protocol):
    """Where a store lies. `str` of it is what a user would type.

    Every method raises StoreUnreachableError where an object store does not answer, or refuses.
    """

    @property
    def late_commit_s(self) -> float:
        """How long after its start a commit by a writer that has lost the lock may still take place, in seconds."""

    def uri(self, table: str) -> str:
        """Return what Lance opens as the table."""

    def has(self, table: str) -> bool:
        """Whether the table has ever been committed to.

        Raises:
            StoreError: the place cannot be looked into.
        """

    def list_names(self, folder: str = "") -> list[str]:
        """List the names in the place, or in a folder of it; empty where nothing exists.

        Raises:
            StoreError: the place can never hold a store, or cannot be looked into.
        """

    def read(self, name: str) -> bytes | None:
        """Read a small file; None where it is missing or cannot be read."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all, replacing one of its name.

        Raises:
            StoreError: it cannot be written.
        """

    def modified_at(self, folder: str) -> float:
        """When the newest file of a folder was written, in seconds since 1970; 0 for an empty folder."""

    def drop(self, folder: str, first: str) -> None:
        """Remove a folder of small files.

        Args:
            folder: its name.
            first: the file to remove before the others.

        Raises:
            StoreError: it cannot be removed.
        """

    def size(self, table: str | None = None) -> int:
        """Bytes of a table, or of everything in the place; a file that vanishes meanwhile counts as 0."""


LocationLike = str | Path | StoreLocation
"""A place, or its path or address."""


def as_location(where: LocationLike) -> StoreLocation:
    """Return the place that a path or an address names.

    Raises:
        StoreError: an address that is not one of an object store.
    """
    if not isinstance(where, str | Path):
        return where
    scheme, found, rest = str(where).partition("://")
    was_address = isinstance(where, Path) and where.parts[:1] in [(f"{each}:",) for each in (*SCHEMES, "file")]
    if not found and not was_address:
        return LocalFolder(Path(os.path.expanduser(where)).absolute())
    host, _, path = rest.partition("/")
    if scheme == "file" and host in ("", "localhost"):
        return LocalFolder(Path("/", unquote(path)))
    parts = [part for part in path.split("/") if part]
    good = scheme in SCHEMES and _BUCKET.fullmatch(host) and not {".", ".."} & set(parts)
    if not good or not all(_PART.fullmatch(part) for part in parts):
        raise StoreError(
            "This is not an address of an object store that can hold a store.",
            received=where,
            expected=" or ".join(f"{each}://bucket/folder" for each in SCHEMES) + ", as text, without ? and #",
            hint="A folder on a disk is given by its path.",
        )
    return ObjectStorePrefix("/".join([f"{scheme}://{host}", *parts]))


@dataclass(frozen=True)
class LocalFolder:
    """A folder on a disk, by its absolute path; see `StoreLocation`."""

    path: Path
    late_commit_s = 0.0

    def __str__(self) -> str:
        return str(self.path)

    def uri(self, table: str) -> str:
        return str(self.path / f"{table}.lance")

    def has(self, table: str) -> bool:
        versions = self.path / f"{table}.lance" / "_versions"
        with self._errors():
            return versions.is_dir() and any(versions.glob("*.manifest"))

    def list_names(self, folder: str = "") -> list[str]:
        path = self.path / folder
        with self._errors():
            if not path.exists():
                return []
            if path.is_dir():
                return sorted(entry.name for entry in path.iterdir())
        raise StoreError("A store is a folder.", received=f"the file {path}", hint="Name another place with --store.")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"The folder {self.path} cannot be looked into.",
                received=error.strerror,
                expected="a folder you may read",
                hint="Change its permissions, or name another place with --store.",
            ) from error

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except OSError:
            return None

    def write(self, name: str, data: bytes) -> None:
        try:
            with atomic_write(self.path / name) as path:
                path.write_bytes(data)
        except RunError as error:
            raise StoreError(error.what, received=error.received, expected=error.expected, hint=error.hint) from error

    def modified_at(self, folder: str) -> float:
        with self._errors():
            return max((entry.stat().st_mtime for entry in os.scandir(self.path / folder)), default=0.0)

    def drop(self, folder: str, first: str) -> None:
        try:
            for name in sorted(self.list_names(folder), key=lambda name: name != first):
                (self.path / folder / name).unlink()
            (self.path / folder).rmdir()
        except OSError as error:
            raise StoreError(
                f"{self.path / folder} cannot be taken away.",
                received=error.strerror,
                expected="a folder of files that you may remove",
                hint="Change its permissions, and run the same command again.",
            ) from error

    def size(self, table: str | None = None) -> int:
        total = 0
        for folder, _, names in os.walk(self.path / f"{table}.lance" if table else self.path):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.stat(os.path.join(folder, name)).st_size
        return total


@dataclass(frozen=True)
class ObjectStorePrefix:
    """All objects of a bucket with one prefix, by its URI without a slash at the end; see `StoreLocation`."""

    address: str
    late_commit_s = _LATE_COMMIT_S

    def __str__(self) -> str:
        return self.address

    @functools.cached_property
    def client(self) -> Any:
        """The obstore client of this prefix."""
        from obstore.store import from_url  # a store on a disk does not need it

        with self.errors():
            return from_url(
                self.address,
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=5)},
                client_options={
                    "connect_timeout": "3s",
                    "timeout": "5s",
                    "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1"),  # from_url ignores it
                },
            )

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn obstore's errors into StoreUnreachableError; those of an unmet condition or a missing object pass."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, FileNotFoundError, PreconditionError):
            raise
        except (BaseError, OSError, ValueError) as error:
            raise unreachable(error, self) from error

    def uri(self, table: str) -> str:
        return f"{self.address}/{table}.lance"

    def has(self, table: str) -> bool:
        import obstore

        with self.errors():
            pages = obstore.list(self.client, f"{table}.lance/_versions", chunk_size=1000)
            return any(entry["path"].endswith(".manifest") for page in pages for entry in page)

    def list_names(self, folder: str = "") -> list[str]:
        import obstore

        with self.errors():
            found = obstore.list_with_delimiter(self.client, folder or None)
        paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        names = (path.rstrip("/").rpartition("/")[2] for path in paths)
        return sorted(name for name in names if name)  # a folder made by hand is an object without a name

    def read(self, name: str) -> bytes | None:
        import obstore

        try:
            with self.errors():
                return bytes(obstore.get(self.client, name).bytes())
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        import obstore

        with self.errors():
            obstore.put(self.client, name, data)

    def modified_at(self, folder: str) -> float:
        import obstore

        with self.errors():
            pages = obstore.list(self.client, folder)
            return max((entry["last_modified"].timestamp() for page in pages for entry in page), default=0.0)

    def drop(self, folder: str, first: str) -> None:
        import obstore

        names = sorted(self.list_names(folder), key=lambda name: name != first)
        with self.errors():
            for name in names:
                obstore.delete(self.client, f"{folder}/{name}")

    def size(self, table: str | None = None) -> int:
        import obstore

        with self.errors():
            pages = obstore.list(self.client, f"{table}.lance" if table else None)
            return sum(entry["size"] for page in pages for entry in page)
