"""A TCP proxy in front of mongod whose connections can be cut: a network that a test has in hand."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal, Self

Cut = Literal["refused", "silent"]
"""``refused``: connections are reset and new ones refused, as when a host goes down; ``silent``: nothing comes through."""


class Proxy:
    """Forwards connections to a port of this machine for as long as the context.

    Parameters
    ----------
    port : where the server listens
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._flows = threading.Event()
        self._flows.set()
        self._ends: list[socket.socket] = []
        self._listen(0)
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut("refused")
        self._flows.set()

    def cut(self, how: Cut) -> None:
        """Cut the network."""
        if how == "silent":
            self._flows.clear()
            return
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends = []

    def restore(self) -> None:
        """Let everything through again."""
        if not self._flows.is_set():
            self._flows.set()
        else:
            self._listen(self.port)

    def _listen(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                self._ends += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while received := source.recv(65536):
                self._flows.wait()
                target.sendall(received)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
