"""Where files count as inputs of a result, and where they never do.

A key covers files of the project, files beside the working directory, and files of models and transcoders. A
file anywhere else belongs to Python, to a package, to the system or to the store. The deepest folder that is
named here decides, so that a model inside a package, or a store inside the project, is what it is.
"""

from __future__ import annotations

import enum
import importlib.util
import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from types import ModuleType

from circuitstore.engine.fingerprint import computes, package_folder
from circuitstore.memo import cache_folder

LIBRARY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHES = (  # variables by which users move the caches of libraries
    "HF_HOME",
    "HF_HUB_CACHE",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCH_HOME",
    "TRITON_CACHE_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
)
# Asked once, before reads are heard: Python reads a file to know, and is asked for no more until it does.
INSTALLED = (site.getusersitepackages(), *sysconfig.get_paths().values())
PATHS = (os.path.abspath, os.path.realpath)  # where a folder lies, and what a link leads to
TOOLS = ("matplotlibrc",)  # read by a tool wherever a process runs; drawing sets its own style after it
METADATA = (".egg-info", ".dist-info", "site-packages", "dist-packages")  # ends of folders of packages


class Kind(enum.Enum):
    """What the files below a folder are."""

    PACKAGES = "of Python and its packages"
    STORE = "of the store, whose records a build is given"
    FREE = "caches and scratch"
    BESIDE = "inputs directly in it, and not below"
    PROJECT = "code and data of the user"
    CODE = "the packages of phases and of the library, with all that lies in them"
    INPUT = "files of a model or of transcoders"


OWN = (Kind.PROJECT, Kind.CODE)


@dataclass(frozen=True)
class Cover:
    """What a key covers, and where reads are watched for it.

    package: the package of the phases. code: the modules in the key. files: the files whose content is in
    the key. inputs: folders of models and transcoders. stores: folders of stores.
    """

    package: str
    code: Container[str]
    files: Iterable[str] = ()
    inputs: Iterable[str] = ()
    stores: Iterable[str] = ()
    _known: dict[tuple[str, bool], bool] = field(default_factory=dict, compare=False)

    def covers(self, path: str, text: bool = False) -> bool:
        """Whether the key covers a read of this path, or nothing has to.

        text: whether source is read as text, of which the key has only the syntax tree. A link counts by
        where it lies and by what it leads to. Of a folder the names in it are meant, which no key has.
        """
        if path.startswith(self._records) and "/." not in path:
            return True  # most reads are such
        path = whole(path)
        if (path, text) in self._known:
            return self._known[path, text]
        covered = self._covers(path, text)
        if covered is not None:  # what is not there may be at the next look
            self._known[path, text] = covered
        return covered is not False

    @cached_property
    def declared(self) -> frozenset[str]:
        """The files in the package of the phases whose content is in the key, links followed."""
        folder = package_folder(self.package)
        tops = tuple(os.path.join(each, "") for each in (os.path.abspath(folder), os.path.realpath(folder)))
        both = ((os.path.abspath(path), os.path.realpath(path)) for path in self.files)
        return frozenset(real for path, real in both if path.startswith(tops) or real.startswith(tops))

    def of_input(self, path: str) -> bool:
        """Whether a path lies in a folder of a model or of transcoders."""
        return Kind.INPUT in (
            kind(self._kinds, whole(path)),
            kind(self._kinds, os.path.realpath(path)),
        )

    def _covers(self, path: str, text: bool) -> bool | None:
        """Whether a read is covered; None for a file that is not there, as many names that importers try."""
        path = source_of(path)
        if (named := kind(self._kinds, path)) in (Kind.PACKAGES, Kind.STORE):
            return True  # without asking the file system, for most reads are such
        real = os.path.realpath(path)
        if real in self._files:
            return True
        kinds = named, kind(self._kinds, real)
        if not {Kind.INPUT, *OWN} & {*kinds}:
            return True
        if not os.path.exists(real):
            return None
        module = module_of(path, self.package) or module_of(real, self.package)
        if text or module is None or Kind.INPUT in kinds:
            return False
        return module in self.code or not computes(module, self.package)

    @cached_property
    def _files(self) -> frozenset[str]:
        return frozenset(map(os.path.realpath, self.files))

    @cached_property
    def _records(self) -> tuple[str, ...]:
        """The beginnings of paths in stores that have no folder of another kind inside."""
        stores = (os.path.join(folder, "") for folder, kind in self._kinds.items() if kind is Kind.STORE)
        return tuple(each for each in stores if not any(known.startswith(each) for known in self._kinds))

    @cached_property
    def given(self) -> tuple[str, ...]:
        """The beginnings of paths in stores, and in folders of models and transcoders."""
        folders = (where(folder) for folder in (*self.stores, *self.inputs) for where in PATHS)
        return tuple(os.path.join(folder, "") for folder in folders)

    @cached_property
    def _kinds(self) -> Mapping[str, Kind]:
        known = {**folders(self.package, os.getcwd())}
        _add(known, self.stores, Kind.STORE)
        _add(known, self.inputs, Kind.INPUT)
        return known


def whole(path: str) -> str:
    """A path from the root. Behind a link, ".." leads out of the folder that the link leads to."""
    return os.path.realpath(path) if ".." in path else os.path.abspath(path)


def kind(folders: Mapping[str, Kind], path: str) -> Kind:
    """What a file is, by the deepest of these folders that it lies in."""
    folder, direct = path, os.path.dirname(path)
    while folder not in folders:
        above = os.path.dirname(folder)
        if above == folder:
            return Kind.FREE
        folder = above
    found = folders[folder]
    if found is Kind.BESIDE:
        found = Kind.PROJECT if direct == folder else Kind.FREE
    inside = path[len(folder) :].strip(os.sep).split(os.sep)
    of_tools = any(part.startswith(".") for part in inside[:-1]) or any(p.endswith(METADATA) for p in inside)
    if found is Kind.PROJECT and (of_tools or inside[-1] in TOOLS):
        return Kind.FREE  # hidden folders are those of tools: environments, version control, caches
    return found


@cache
def in_packages(folder: str, package: str) -> bool:
    """Whether files directly in a folder are of Python and its packages, with no link on the way."""
    plain = os.path.isabs(folder) and ".." not in folder and not _leads_on(folder)
    return plain and kind(folders(package, os.getcwd()), os.path.join(folder, "file")) is Kind.PACKAGES


@cache
def _leads_on(folder: str) -> bool:
    """Whether a folder or one above it is a link."""
    above = os.path.dirname(folder)
    return above != folder and (os.path.islink(folder) or _leads_on(above))


@lru_cache(maxsize=8)
def folders(package: str, working: str) -> Mapping[str, Kind]:
    """The folders of a process in the folder `working`; `package` is that of the phases, "" if not known."""
    known: dict[str, Kind] = {}
    parts = [package_folder(package), LIBRARY] if package else [LIBRARY]
    home = os.path.expanduser("~")
    # In a home folder, or above one, lies what has nothing to do with the work at hand.
    everything = os.path.join(os.path.realpath(home), "").startswith(os.path.join(working, ""))
    _add(known, [working], Kind.BESIDE if everything else Kind.PROJECT)
    above = [os.path.dirname(part) for part in parts if part != LIBRARY or not _is_installed(package)]
    _add(known, above, Kind.PROJECT)
    caches = [os.environ[name] for name in CACHES if os.environ.get(name)]
    # The project stays what it is, whatever else lies in it, and by whatever name.
    own = {os.path.realpath(path) for path in (working, *above)}
    # `gettempdir` holds a lock while it opens a file: whoever hears that may not ask it in turn.
    scratch = [tempfile.tempdir, *map(os.environ.get, ("TMPDIR", "TEMP", "TMP")), "/tmp", "/var/tmp"]
    free = [cache_folder(), *filter(None, scratch), *caches]
    _add(known, (path for path in free if os.path.realpath(path) not in own), Kind.FREE)
    _add(known, ("/proc", "/sys", "/dev"), Kind.FREE)
    usual = [sys.prefix, sys.base_prefix, *INSTALLED, *filter(_holds_packages, sys.path)]
    _add(known, (path for path in usual if os.path.realpath(path) not in own), Kind.PACKAGES)
    _add(known, parts, Kind.CODE)  # last, for an installed package has them inside site-packages
    return known


def is_own(module: ModuleType, package: str) -> bool:
    """Whether a loaded module is of the project, and not of Python, a package or a tool."""
    files = getattr(module, "__file__", None), *list(getattr(module, "__path__", ()))
    return any(_lies_in_own(file, package, os.getcwd()) for file in files if file)


@lru_cache(maxsize=4096)
def _lies_in_own(file: str, package: str, working: str) -> bool:
    return kind(folders(package, working), os.path.realpath(file)) in OWN


def _is_installed(package: str) -> bool:
    """Whether the library lies among other packages, as pip leaves it, and not beside the phases."""
    beside = os.path.dirname(LIBRARY)
    project = os.path.dirname(package_folder(package)) if package else ""
    return _holds_packages(beside) and os.path.realpath(beside) != os.path.realpath(project)


def _holds_packages(folder: str) -> bool:
    """Whether packages were installed into a folder, as by `pip install --target`."""
    try:
        return folder.endswith(METADATA) or any(name.endswith(".dist-info") for name in os.listdir(folder))
    except OSError:
        return False


def module_of(path: str, package: str) -> str | None:
    """The dotted name of a source file of the phases' package or of the library, by where it lies.

    None for any other file.
    """
    if not path.endswith(".py"):
        return None
    for folder, name in ((package_folder(package), package), (LIBRARY, "circuitstore")):
        tops = (os.path.join(each, "") for each in (os.path.realpath(folder), os.path.abspath(folder)))
        if top := next(filter(path.startswith, tops), ""):
            *parts, last = path.removeprefix(top).split(os.sep)
            parts += [] if last == "__init__.py" else [last.removesuffix(".py")]
            return ".".join([name, *parts])
    return None


def source_of(path: str) -> str:
    """The source of a file of bytecode; any other path itself."""
    if not path.endswith(".pyc"):
        return path
    try:
        return importlib.util.source_from_cache(path)
    except (ValueError, NotImplementedError):
        return path


def _add(known: dict[str, Kind], folders: Iterable[str], kind: Kind) -> None:
    for folder in folders:
        known.update({where(folder): kind for where in PATHS})
