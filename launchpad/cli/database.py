"""Implement `ccdcgan-al database`: show which MongoDB is used, and stop the local one."""

from __future__ import annotations

import typer

from ccdcgan_al.settings import Settings
from launchpad.cli.submit import exit_code
from launchpad.service.mongod import mongo_status, stop_local_mongo


def status_command() -> int:
    """Print which MongoDB is used and whether it runs. Returns the exit status, which is 1 if it does not run."""
    running = False

    def show() -> None:
        nonlocal running
        answer = mongo_status(Settings())
        running = answer.running
        reason = f" ({answer.reason})" if answer.reason else ""
        typer.echo(f"{answer.uri or 'local MongoDB'}: {'running' if running else 'not running'}{reason}")

    return exit_code(show) or int(not running)


def stop_command() -> int:
    """Stop the local MongoDB. Returns the exit status."""
    return exit_code(lambda: typer.echo("stopped" if stop_local_mongo(Settings()) else "no local mongod is running"))
