"""Runs the user's program as plain `python` would: name, file, arguments, path and `__main__`."""

import importlib.machinery
import importlib.util
import os
import sys
import types
from dataclasses import dataclass

from launch.status import UsageError


@dataclass(frozen=True, slots=True)
class Script:
    """A file (or, with `is_module`, a dotted module name) and its arguments."""

    name: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False


class _MainLoader(importlib.machinery.SourceFileLoader):
    # Compiled in memory, as for `python train.py`: no .pyc of a script is read or written.
    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def problem(script: Script) -> str:
    """Why the script cannot be started on this host, "" if it can.

    Example:
        >>> problem(Script("no_such_file.py"))
        "cannot find the script 'no_such_file.py'"
    """
    if script.is_module:
        return "" if _find(script.name) else f"no module named {script.name!r}"
    if os.path.isdir(script.name):
        return f"{script.name!r} is a folder, not a script"
    if not os.path.exists(script.name):
        hint = ": leave out `python`" if script.name in ("python", "python3") else ""
        return f"cannot find the script {script.name!r}{hint}"
    return "" if os.access(script.name, os.R_OK) else f"cannot read the script {script.name!r}"


def path_of(script: Script) -> str:
    """The file that will run."""
    spec = _find(script.name) if script.is_module else None
    return spec.origin or script.name if spec else os.path.abspath(script.name)


def run(script: Script) -> None:
    """Execute the script as `__main__`; whatever it raises comes out."""
    spec = _find(script.name) if script.is_module else None
    path = path_of(script)
    module = types.ModuleType("__main__")
    module.__file__ = path
    module.__spec__ = spec
    module.__package__ = spec.parent if spec else None
    module.__dict__["__cached__"] = None
    loader = _MainLoader("__main__", path)
    module.__loader__ = loader
    sys.modules["__main__"] = module
    sys.argv[:] = [path if script.is_module else script.name, *script.arguments]
    if not script.is_module and not getattr(sys.flags, "safe_path", False):
        # `python -m launch` has put the working folder there.
        sys.path[0] = os.path.dirname(os.path.realpath(script.name))
    loader.exec_module(module)


def _find(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except (ImportError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) or isinstance(error, ValueError):
            return None
        raise UsageError(f"cannot import {name!r}: {error}") from error
    return spec if spec is not None and spec.has_location else None
