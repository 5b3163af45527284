"""What a worker does while the database is away: it waits where it can, leaves where it must, and lets no Firework fizzle for it.

FireWorks takes a lost connection for a failure of the Firework: it marks it, or its whole workflow, FIZZLED as soon as
the connection is back, and a round would close without a relaxation that was finished. With `hold_on` a worker waits, for as
long as it takes, before it asks a database that does not answer; a command that was on its way when the connection
broke, whose fate nobody knows, ends the worker at once with the exit code `NO_DATABASE`. Its Firework stays RUNNING and is
made ready again (`launchpad.service.recovery`); its rerun finds a finished relaxation on disk (`workflows.jobs`). What FireWorks
writes for information, a sign of life or FW.json on a full disk, may fail.
"""

from __future__ import annotations

import builtins
import os
import sys
import threading

from pymongo import common, monitoring

from launchpad.service.fireworks_compat import let_information_fail
from launchpad.uri import PATIENCE_SECONDS, redact

NO_DATABASE = os.EX_TEMPFAIL
"""Exit code of a worker that lost the database."""

_LOST = {"AutoReconnect", "NetworkTimeout", "ConnectionFailure", "_OperationCancelled", "NotPrimaryError", "SSLError"}
_SHUTTING_DOWN = {91, 11600}  # ShutdownInProgress, InterruptedAtShutdown


def hold_on() -> None:
    """Change this process, which runs `rlaunch` and nothing else, as the module says; call it before `rlaunch`."""
    common.SERVER_SELECTION_TIMEOUT = PATIENCE_SECONDS  # the default of every client made from now on
    monitoring.register(_Commands())
    monitoring.register(_Connections())
    let_information_fail()


class _Commands(monitoring.CommandListener):
    """Ends the worker when a command's connection breaks."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        pass

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        kind = str(event.failure.get("errtype"))
        of_the_socket = issubclass(getattr(builtins, kind, object), OSError)  # not yet pymongo's own error
        if of_the_socket or kind in _LOST or event.failure.get("code") in _SHUTTING_DOWN:
            _leave(f"{event.command_name}: {event.failure.get('errmsg')}")


class _Connections(monitoring.ConnectionPoolListener):
    """Ends the worker when the server that it was about to ask takes no connection."""

    def connection_check_out_failed(self, event: monitoring.ConnectionCheckOutFailedEvent) -> None:
        if event.reason == monitoring.ConnectionCheckOutFailedReason.CONN_ERROR:
            _leave(f"no connection to {event.address}")

    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None:
        pass

    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None:
        pass

    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None:
        pass

    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None:
        pass

    def connection_created(self, event: monitoring.ConnectionCreatedEvent) -> None:
        pass

    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None:
        pass

    def connection_closed(self, event: monitoring.ConnectionClosedEvent) -> None:
        pass

    def connection_check_out_started(self, event: monitoring.ConnectionCheckOutStartedEvent) -> None:
        pass

    def connection_checked_out(self, event: monitoring.ConnectionCheckedOutEvent) -> None:
        pass

    def connection_checked_in(self, event: monitoring.ConnectionCheckedInEvent) -> None:
        pass


def _leave(reason: str) -> None:
    """End the process, unless this is the thread that only says now and then that the worker lives."""
    if threading.current_thread() is threading.main_thread():
        sys.stderr.write(
            f"worker leaves, since the database went away ({redact(reason)}); its Firework will be run again\n"
        )
        sys.stderr.flush()
        os._exit(NO_DATABASE)
