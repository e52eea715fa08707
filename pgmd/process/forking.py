"""What a forked child must leave alone: the open handles of its parent.

A child has copies of them. Closing one would end it for the parent, too, or wait for threads that a
fork does not copy; a socket that is written to would speak for the parent.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import weakref
from typing import Protocol


class Handle(Protocol):
    def abandon(self) -> None:
        """This is a child's copy: do no harm by it."""
        ...


_handles: weakref.WeakSet[Handle] = weakref.WeakSet()


def hold(handle: Handle) -> None:
    """Have *handle* abandoned in every child that is forked while it lives."""
    _handles.add(handle)


def leak(thing: object) -> None:
    """Keep *thing* from ever being freed in this process."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def disconnect(socket: int) -> None:
    """Let a socket of the parent's lead nowhere in this process."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, socket)
    os.close(nowhere)


def remove_at_end(owner: object, folder: str) -> weakref.finalize:  # type: ignore[type-arg]
    """Remove *folder* when its owner is freed, in this process and not in its children."""
    return weakref.finalize(owner, _remove, folder, os.getpid())


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _abandon_all() -> None:
    for handle in list(_handles):
        handle.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
