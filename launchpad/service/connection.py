"""The behaviour of a worker without a database: it waits if it can, and ends if it must. No Firework becomes FIZZLED for this reason.

FireWorks treats a lost connection as a failure of the Firework. It marks the Firework, or its whole workflow, as FIZZLED as soon as
the connection is back, and a round would close without a finished relaxation. With `hold_on` a worker waits for a database that
does not answer before it sends a command, however long this takes. If the connection breaks during a command, nobody can know whether
the command was done. Then the worker ends at once with the exit code `NO_DATABASE`. Its Firework stays RUNNING and is made ready
again (`launchpad.service.recovery`). The rerun finds a finished relaxation on disk (`workflows.jobs`). Data that FireWorks writes only
for information, such as a sign of life or FW.json on a full disk, may fail.
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
    """Change this process as the module describes. Call it before `rlaunch`, in a process that runs only `rlaunch`."""
    common.SERVER_SELECTION_TIMEOUT = PATIENCE_SECONDS  # the default of every client created from now on
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
    """Ends the worker when the server accepts no connection for its next command."""

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
    """End the process, unless this is the thread that only sends signs of life."""
    if threading.current_thread() is threading.main_thread():
        sys.stderr.write(
            f"worker leaves, since the database went away ({redact(reason)}); its Firework will be run again\n"
        )
        sys.stderr.flush()
        os._exit(NO_DATABASE)
