"""A MongoDB URI: its passwords are seen nowhere, and its database is named."""

from __future__ import annotations

import pytest

from ccdcgan_al.errors import MongoError
from launchpad.uri import database_name, redact


def test_redact() -> None:
    assert redact("see mongodb://u:p%40@h:1/d?x=1 now") == "see mongodb://u:***@h:1/d?x=1 now"
    assert redact("mongodb+srv://u:a@b:c/@h/d") == "mongodb+srv://u:***@h/d"
    assert redact("mongodb://127.0.0.1:27017/d") == "mongodb://127.0.0.1:27017/d"
    assert redact('{"password": "abc", "host": "h"}') == '{"password": "***", "host": "h"}'
    assert redact("tlsCertificateKeyFilePassword=abc&x=1") == "tlsCertificateKeyFilePassword=***&x=1"


def test_the_database_is_named_decoded() -> None:
    assert database_name("mongodb://h:1,i:2/x%20y?tls=true") == "x y"


@pytest.mark.parametrize("uri", ["mongodb://me:secret@h", "mongodb://me:secret@h/", "mongodb://me:secret@h?tls=true"])
def test_a_uri_without_database_is_refused_without_its_password(uri: str) -> None:
    with pytest.raises(MongoError, match="names no database") as error:
        database_name(uri)
    assert "secret" not in str(error.value)
