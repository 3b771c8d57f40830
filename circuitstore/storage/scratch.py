"""Scratch folders: where files are written before they are published."""

from __future__ import annotations

import os


class Scratch:
    def __init__(self, parent: str):
        self.folder = os.path.join(parent, f"{os.getpid()}-{os.urandom(8).hex()}")

    def __enter__(self) -> str:
        os.makedirs(self.folder)
        return self.folder

    def __exit__(self, *_: object) -> None:
        import shutil  # here, since it costs 10 ms and reading a store has no scratch

        shutil.rmtree(
            self.folder, ignore_errors=True
        )  # what stays is scratch: safe to delete whenever nothing runs
