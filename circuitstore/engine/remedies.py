"""What to do about a read that no key covers."""

from __future__ import annotations

import os

from circuitstore.engine.fingerprint import package_folder
from circuitstore.engine.territory import Cover, module_of

WHERE = '(CONTRIBUTING.md, "Files that a key covers")'
MODULES = f"in MODULES of the file of the behaviour that imports it, or in modules= of the Task {WHERE}"
FILES = (
    "or its path from the behaviour or phase that reads it, in FILES of the behaviour's file or in "
    f"files= of the Task {WHERE}"
)
FOR_CODE = (
    "move it into the package of the phases and import it by its name; if the name is made at run time, "
    f"list it in MODULES of the behaviour or in modules= of the Task {WHERE}"
)
FOR_INPUT = f"a loader tells the content of what it reads in `identity`, and its path in `sources` {WHERE}"
FOR_DATA = (
    "move it into the folder of the behaviour's own file or of the phase, or below, "
    f"and list it in FILES in that file or in files= of the Task {WHERE}"
)
FOR_FOLDER = f"name the files that are meant in the code, and list them likewise {WHERE}"


def remedy_for(cover: Cover, path: str, text: bool) -> str:
    """What to do about a read of this whole path. text: whether a source is read as text."""
    if os.path.isdir(path):
        return FOR_FOLDER
    module = module_of(path, cover.package)
    if path.endswith(".py") and not text:
        return f"write {module!r}, {MODULES}" if module else FOR_CODE
    if cover.of_input(path):
        return FOR_INPUT
    inside = path.startswith(os.path.join(os.path.abspath(package_folder(cover.package)), ""))
    return f"write {os.path.basename(path)!r}, {FILES}" if inside else FOR_DATA
