"""Places of the Python that runs a worker: its prefixes, its packages, and what import hooks lead to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import all_suffixes
from pathlib import Path

_PREFIX_PARTS = (
    *("bin", "lib", "lib64", "libexec", "share", "ssl", "pyvenv.cfg"),
    # To compile against Python (`torch.compile`); conda keeps compilers and CUDA beside it.
    *("include", "compiler_compat", "targets", "nvvm"),
    *(f"{machine}-conda-linux-gnu" for machine in ("x86_64", "aarch64")),
)
"""Of a virtual environment, a conda prefix, or an interpreter of pyenv or uv. Not the whole: a site may live
beside its environment."""

_TOOLKITS = ("CUDA_HOME", "CUDA_PATH")
"""Variables that name a folder with compilers and libraries."""

_MOST_LINKS = 40
"""Links in a row that are followed, as the kernel does."""
_FEWEST_PARTS = 3
"""Of a path that is granted because a package or a hook leads there: `/` and `/home` are never meant."""


def interpreter_paths() -> Iterator[str]:
    """Paths that running Python here may need; some may not exist."""
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        yield from (f"{prefix}/{part}" for part in _PREFIX_PARTS)
    yield from links_of(sys.executable)
    entries = [entry for entry in sys.path if Path(entry).is_absolute()]
    yield from entries
    yield from linked_packages(entries)
    yield from editable_packages(sys.meta_path)
    yield from (entry for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry)
    yield from (os.environ[name] for name in _TOOLKITS if name in os.environ)
    yield str(Path(__file__).parent.parent)


def links_of(path: str) -> Iterator[str]:
    """Each link on the way from a path to the file that it leads to, and the file.

    The Python of a virtual environment may lead to its interpreter by links that lie in no prefix, such as
    `~/.local/bin/python3.12`; programs that start themselves again (`sys.executable`) go by them.
    """
    place = Path(path)
    for _ in range(_MOST_LINKS):
        if not place.is_absolute():
            return
        yield str(place)
        if not place.is_symlink():
            return
        place = place.parent / place.readlink()


def linked_packages(entries: Iterable[str]) -> Iterator[str]:
    """Folders outside of the import path in which linked packages lie.

    Args:
        entries: Folders of the import path. A package in one may be a link to a folder (`flit install
            --symlink`), or consist of links to the files of a cache (`uv` with `link-mode: symlink`).
    """
    for entry in entries:
        try:
            found = list(os.scandir(entry))
        except OSError:
            continue
        for item in found:
            if item.is_symlink():
                yield from _meant(os.path.realpath(item.path))
            elif item.name.endswith(".dist-info"):
                metadata = Path(item.path, "METADATA")
                if metadata.is_symlink():
                    yield from _meant(str(metadata.resolve().parents[1]))


def editable_packages(finders: Iterable[object]) -> Iterator[str]:
    """Folders and files of packages that were installed editable by an import hook.

    Args:
        finders: Of `sys.meta_path`; those that setuptools and scikit-build-core write know the places.
    """
    for finder in finders:
        module = sys.modules.get(getattr(finder, "__module__", ""))
        mapping = getattr(module, "MAPPING", None)
        if isinstance(mapping, dict):  # of setuptools: a package's folder, or a module's file without its end
            for place in filter(_is_text, mapping.values()):
                yield from _meant(place)
                yield from (f"{place}{suffix}" for suffix in all_suffixes())
        namespaces = getattr(module, "NAMESPACES", None)
        for places in namespaces.values() if isinstance(namespaces, dict) else ():
            yield from (meant for place in filter(_is_text, places) for meant in _meant(place))
        folders = getattr(finder, "submodule_search_locations", None)
        for places in folders.values() if isinstance(folders, dict) else ():
            yield from (meant for place in filter(_is_text, places) for meant in _meant(place))
        files = getattr(finder, "known_source_files", None)
        yield from (place for place in files.values() if _is_text(place)) if isinstance(files, dict) else ()


def _is_text(place: object) -> bool:
    return isinstance(place, str)


def _meant(place: str) -> Iterator[str]:
    path = Path(place)
    if path.is_absolute() and len(path.parts) >= _FEWEST_PARTS and path != _home():
        yield place


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # a user without one
        return None
