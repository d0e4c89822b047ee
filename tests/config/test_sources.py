from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from core.config import Configuration, Origin, load_configuration
from core.config.sources import with_secret_key
from core.errors import ConfigError


def load(tmp_path: Path, text: str = "", **environment: str) -> Configuration:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return load_configuration(file, environment)


def fault(tmp_path: Path, text: str = "", **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environment)
    return str(caught.value)


def test_each_source_overrides_those_before_it(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    configuration = load(
        tmp_path,
        "SMTP_PORT: 25\nSMTP_SERVER: a.example\nSMTP_PASSWORD: from yaml\n",
        POSTROOM_SMTP_SERVER="b.example",
        POSTROOM_SMTP_PASSWORD_FILE=f"{tmp_path}/password",
    )
    settings = configuration.settings
    assert (settings.SMTP_PORT, settings.SMTP_SERVER, settings.HTTP_PORT) == (25, "b.example", 8080)
    assert settings.SMTP_PASSWORD.get_secret_value() == "from a file"
    origins = {key: origin for key, _, origin in configuration.shown()}
    assert origins["SMTP_PORT"] is Origin.file
    assert origins["SMTP_SERVER"] is Origin.environment
    assert origins["SMTP_PASSWORD"] is Origin.secret_file
    assert origins["HTTP_PORT"] is Origin.default


def test_overrides_win_over_everything(tmp_path: Path) -> None:
    configuration = load_configuration(None, {"POSTROOM_HTTP_PORT": "1"}, {"HTTP_PORT": 2})
    assert configuration.settings.HTTP_PORT == 2
    assert configuration.origins["HTTP_PORT"] is Origin.override


def test_secrets_are_masked_wherever_they_are_shown(tmp_path: Path) -> None:
    configuration = load(tmp_path, "SMTP_PASSWORD: hunter2\nWEBHOOK_SECRET: hunter3\nSECRET_KEY: hunter4\n")
    shown = {key: value for key, value, _ in configuration.shown()}
    assert shown["SMTP_PASSWORD"] == "********"
    assert "hunter" not in str(shown) + repr(configuration)


def test_a_password_in_the_database_url_is_masked(tmp_path: Path) -> None:
    configuration = load(tmp_path, "DATABASE_URL: postgres://me:hunter2@db.example/name\n")
    shown = {key: value for key, value, _ in configuration.shown()}
    assert shown["DATABASE_URL"] == "postgres://me:********@db.example/name"


def test_lists_come_from_yaml_or_with_commas(tmp_path: Path) -> None:
    assert load(tmp_path, "ADDONS: [crm, sms]\n").settings.ADDONS == ("crm", "sms")
    assert load(tmp_path, POSTROOM_ADDONS=" crm, sms,").settings.ADDONS == ("crm", "sms")


def test_all_faults_are_told_at_once_with_source_and_nearest_name(tmp_path: Path) -> None:
    told = fault(
        tmp_path,
        "SMTP_SEVER: a\nHTTP_PORT: many\nDEFAULT_TIMEZONE: Europe/Berlln\nSMTP_PASSWORD: [hunter2]\n",
        POSTROOM_MAIL_MODUS="live",
        POSTROOM_MAIL_MODE="dry",
        POSTROOM_BASE_ULR="x",
        POSTROOM_SMTP_PASSWORD_FILE=f"{tmp_path}/none",
        POSTROOM_HTTP_HOTS_FILE="y",
    )
    assert 'config.yaml: SMTP_SEVER is no configuration key. Did you mean "SMTP_SERVER"?' in told
    assert 'environment: POSTROOM_BASE_ULR is no configuration key. Did you mean "BASE_URL"?' in told
    assert "POSTROOM_SMTP_PASSWORD_FILE" in told
    assert "cannot be read" in told
    assert "config.yaml: HTTP_PORT: " in told
    assert "many" in told
    assert "environment: POSTROOM_MAIL_MODE: " in told
    assert 'Did you mean "Europe/Berlin"?' in told
    assert "hunter2" not in told
    assert "POSTROOM_HTTP_HOTS_FILE" in told


@pytest.mark.parametrize("text", ["- a\n", "a: [", "\x00", "1\n"])
def test_a_file_that_is_no_mapping_is_told(tmp_path: Path, text: str) -> None:
    assert "config.yaml: " in fault(tmp_path, text)


def test_a_key_that_stands_twice_is_told(tmp_path: Path) -> None:
    assert "SMTP_PORT" in fault(tmp_path, "SMTP_PORT: 25\nSMTP_PORT: 26\n")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such configuration file"):
        load_configuration(tmp_path / "none.yaml", {})


def test_the_sending_apis_names_are_not_ours(tmp_path: Path) -> None:
    assert load(tmp_path, POSTROOM_MAIL_HOST="x").settings.MAIL_MODE == "live"


def test_the_older_spelling_of_tls_yields_to_the_new_one(tmp_path: Path) -> None:
    assert load(tmp_path, "SMTP_USE_SSL: false\n").settings.smtp_tls == "none"
    assert load(tmp_path, "SMTP_USE_SSL: true\n").settings.smtp_tls == "auto"
    assert load(tmp_path, "SMTP_USE_SSL: false\nSMTP_TLS: implicit\n").settings.smtp_tls == "implicit"


def test_a_secret_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = with_secret_key(load(tmp_path, f"VAR_DIR: {tmp_path}/var\n"))
    second = with_secret_key(load(tmp_path, f"VAR_DIR: {tmp_path}/var\n"))
    assert first.settings.SECRET_KEY == second.settings.SECRET_KEY
    assert len(first.settings.SECRET_KEY.get_secret_value()) >= 32
    assert first.origins["SECRET_KEY"] is Origin.generated
    assert stat.S_IMODE(os.stat(tmp_path / "var" / "secret_key").st_mode) == 0o600


def test_a_secret_key_that_is_given_is_left_alone(tmp_path: Path) -> None:
    configuration = with_secret_key(load(tmp_path, f"VAR_DIR: {tmp_path}/var\nSECRET_KEY: mine\n"))
    assert configuration.settings.SECRET_KEY.get_secret_value() == "mine"
    assert not (tmp_path / "var").exists()


def test_a_secret_key_file_that_is_empty_or_out_of_reach_is_told(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "secret_key").write_text("\n")
    with pytest.raises(ConfigError, match="is empty; delete it to make a new key"):
        with_secret_key(load(tmp_path, f"VAR_DIR: {tmp_path}/var\n"))
    (tmp_path / "blocked").write_text("")
    with pytest.raises(ConfigError, match="cannot be written or read"):
        with_secret_key(load(tmp_path, f"VAR_DIR: {tmp_path}/blocked\n"))
