"""A client of each App that writes all the time and asks ``WAIT`` after each write. It reads the password anew when it
is refused, as a client does whose Secret is mounted."""

from __future__ import annotations

from dataclasses import dataclass, field

import redis

from tests.chaos.edits.apps import Shape
from tests.chaos.edits.directory import Directory
from tests.e2e.support.writer import AcknowledgedWriter


@dataclass
class Client(AcknowledgedWriter):
    """``pause`` keeps 20 of them from taking the processor that the engines need."""

    pause: float = 0.15
    app: str = ""
    directory: Directory | None = field(default=None, repr=False)
    _tries: int = 0

    def connect(self) -> redis.Redis:
        assert self.directory is not None
        passwords = self.directory.passwords(self.app)
        self.host = self.directory.service(self.app)
        # What is in use first; where that is refused, the others.
        self.password = passwords[self._tries % len(passwords)]
        client = super().connect()
        try:
            client.ping()
        except redis.AuthenticationError:
            self._tries += 1
            raise
        self._tries = 0
        return client


def client(app: str, shape: Shape, directory: Directory) -> Client:
    return Client("", "", prefix="edits", wait_replicas=shape.waits, app=app, directory=directory)


def confirmed(client: Client, shape: Shape) -> set[int]:
    """The writes that must be there: what ``WAIT`` confirmed; of a single node on a volume, what it acknowledged."""
    return client.replicated if shape.waits else client.acknowledged
