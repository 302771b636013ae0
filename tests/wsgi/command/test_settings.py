"""The record of everything the command was told."""

from __future__ import annotations

import io
import pickle

from greenworld.wsgi.command.settings import Settings
from greenworld.wsgi.config import Config, Tls


def test_the_config_gets_its_logs() -> None:
    settings = Settings(server=Config(keep_alive=1.0))
    access, errors = io.StringIO(), io.StringIO()
    config = settings.config(access_log=access, error_log=errors)
    assert config == Config(keep_alive=1.0, access_log=access, error_log=errors)
    assert settings.config() == Config(keep_alive=1.0)


def test_it_can_be_given_to_another_process_and_shown() -> None:
    settings = Settings(server=Config(tls=Tls("c", password="geheim", hosts={"a": ("b", None)})))
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert "geheim" not in repr(settings)
