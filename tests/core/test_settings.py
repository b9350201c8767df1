"""Settings: read from one table, wrong ones all named at once, secrets shown nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.errors import SettingsError
from pilothouse.settings import CORE_SETTINGS, Setting, duration, flag, names, read_settings, text, url, whole

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SOUND = {"PILOTHOUSE_SECRET_KEY": "x" * 32}


def read(**environ):
    return read_settings({**SOUND, **{f"PILOTHOUSE_{name}": value for name, value in environ.items()}})


def fault_of(**environ):
    with pytest.raises(SettingsError) as caught:
        read(**environ)
    return caught.value.detail


def test_little_is_needed_and_the_rest_has_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = read()
    assert settings.data_dir == tmp_path / "pilothouse-data"
    assert settings.database_url == f"sqlite:///{tmp_path}/pilothouse-data/pilothouse.db"
    assert (settings.redis_url, settings["PILOTHOUSE_RETENTION_DAYS"], settings.base_url) == (None, 90, "http://127.0.0.1:8080")


def test_the_environment_is_read_when_none_is_given(monkeypatch):
    monkeypatch.setenv("PILOTHOUSE_SECRET_KEY", "y" * 32)
    monkeypatch.setenv("PILOTHOUSE_RETENTION_DAYS", "7")
    settings = read_settings()
    assert (settings.secret_key, settings["PILOTHOUSE_RETENTION_DAYS"]) == ("y" * 32, 7)


def test_an_empty_variable_is_as_good_as_none():
    assert read(RETENTION_DAYS="", BASE_URL="")["PILOTHOUSE_RETENTION_DAYS"] == 90


def test_all_wrong_settings_are_named_at_once():
    told = fault_of(RETENTION_DAYS="soon", BASE_URL="ftp://x", REDIS_URL="http://x", INGEST_RATE="0", SECRET_KEY="short")
    for name in ("RETENTION_DAYS", "BASE_URL", "REDIS_URL", "INGEST_RATE", "SECRET_KEY"):
        assert f"PILOTHOUSE_{name} must" in told


def test_what_is_wrong_is_told_without_the_value():
    told = fault_of(
        SECRET_KEY="hunter2", MASTER_KEYS="hunter2", REDIS_URL="http://:hunter2@h", DATABASE_URL="postgresql://u:hunter2@h:x/d",
        SMTP_URL="http://u:hunter2@h",
    )
    assert "hunter2" not in told
    assert told.count("PILOTHOUSE_") == 5


def test_the_secret_key_is_required_unless_it_is_still_to_be_made():
    with pytest.raises(SettingsError, match="PILOTHOUSE_SECRET_KEY is required"):
        read_settings({})
    assert read_settings({}, require_secrets=False)["PILOTHOUSE_SECRET_KEY"] is None


def test_secrets_are_shown_nowhere():
    settings = read(SMTP_URL="smtp://u:hunter2@h", MASTER_KEYS=KEY)
    assert "hunter2" not in repr(settings)
    assert KEY not in repr(settings)
    assert {setting.name for setting in CORE_SETTINGS if setting.secret}.isdisjoint(settings.public())
    assert settings.public()["PILOTHOUSE_RETENTION_DAYS"] == 90


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u@h:5/d", "postgresql+psycopg://u@h:5/d"),
        ("postgresql+psycopg://u@/d?host=/run", "postgresql+psycopg://u@/d?host=/run"),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
    ],
)
def test_the_database_may_be_sqlite_or_postgresql(value, address):
    assert read(DATABASE_URL=value).database_url == address


@pytest.mark.parametrize(
    "value", ["mysql://h/d", "x.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://h/x", "postgresql://h:p/d"]
)
def test_other_databases_and_those_that_forget_are_refused(value):
    assert fault_of(DATABASE_URL=value).startswith("PILOTHOUSE_DATABASE_URL must")


def test_the_data_folder_may_be_anybodys_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read(DATA_DIR="~/data").data_dir == tmp_path / "data"
    told = fault_of(DATA_DIR="~nobodyhere/data")
    assert told == "PILOTHOUSE_DATA_DIR starts with the home folder of a user who does not exist"


def test_a_relative_data_folder_is_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert read(DATA_DIR="data").data_dir == tmp_path / "data"


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_yes_has_several_names(value):
    assert flag(value) is True
    assert flag("off") is False


def test_a_flag_is_not_guessed():
    with pytest.raises(ValueError, match="one of on, off"):
        flag("perhaps")


@given(st.text(max_size=30))
def test_a_whole_number_is_read_or_refused_and_nothing_else(value):
    try:
        assert 1 <= whole(1, 10)(value) <= 10
    except ValueError as fault:
        assert str(fault) == "must be a whole number from 1 to 10"  # noqa: PT017 - both ways are right


@pytest.mark.parametrize("value", ["０", "+5", "5.0", "0x5", "-1", "11", "9" * 5_000])
def test_whole_numbers_are_digits_between_the_bounds(value):
    with pytest.raises(ValueError, match=r"whole number|digits"):
        whole(1, 10)(value)


@pytest.mark.parametrize(
    ("value", "ms"), [("90", 90_000), ("90s", 90_000), ("30m", 1_800_000), ("12h", 43_200_000), ("2d", 172_800_000)]
)
def test_durations_have_units(value, ms):
    assert duration(value) == ms


@pytest.mark.parametrize("value", ["", "s", "0", "0m", "-5m", "1.5h", "5w", "5 m", "٣m", "3651d", "9" * 30])
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValueError, match="must be a duration"):
        duration(value)


def test_a_url_loses_the_slash_at_its_end():
    assert url("http", "https")("https://console.example.com/") == "https://console.example.com"
    assert url("unix")("unix:///run/valkey.sock") == "unix:///run/valkey.sock"


@pytest.mark.parametrize(
    "value", ["http://", "https:///p", "http:host", "unix://", "http://h:0", "http://u:hunter2#@h", "http://[", "//h", "h"]
)
def test_a_url_names_a_host(value):
    with pytest.raises(ValueError, match=r"^must (be a URL|name a host)((?!hunter2).)*$"):
        url("http", "https", "unix")(value)


def test_names_are_separated_by_commas_and_stripped():
    assert names(" a, b ,,c ") == ("a", "b", "c")
    assert text(" as it is ") == " as it is "


@pytest.mark.parametrize("value", ["x", f"{KEY},short", "MDEyMzQ1", "ÄÖÜ"])
def test_a_wrong_master_key_is_told_at_the_start(value):
    assert "32 bytes in base64" in fault_of(MASTER_KEYS=value)
    assert read(MASTER_KEYS=f"{KEY}, {KEY}")["PILOTHOUSE_MASTER_KEYS"] == (KEY, KEY)


def test_plugins_add_settings_of_their_own():
    extra = [Setting("PILOTHOUSE_WEATHER_PAUSE", duration, 5_000, "How long to wait")]
    environ = {**SOUND, "PILOTHOUSE_WEATHER_PAUSE": "2m"}
    settings = read_settings(environ).extended(extra)
    assert settings["PILOTHOUSE_WEATHER_PAUSE"] == 120_000
    assert settings.public()["PILOTHOUSE_WEATHER_PAUSE"] == "2m"


def test_a_wrong_setting_of_a_plugin_is_named_too():
    extra = [Setting("PILOTHOUSE_WEATHER_PAUSE", duration, 5_000, "How long to wait")]
    with pytest.raises(SettingsError, match="PILOTHOUSE_WEATHER_PAUSE must be a duration"):
        read_settings({**SOUND, "PILOTHOUSE_WEATHER_PAUSE": "x"}).extended(extra)


def test_a_reader_that_breaks_names_its_setting():
    extra = [Setting("PILOTHOUSE_BROKEN", lambda _: 1 // 0, None, ""), Setting("PILOTHOUSE_ODD", text, lambda v: v["none"], "")]
    with pytest.raises(SettingsError, match=r"PILOTHOUSE_BROKEN cannot be read \(ZeroDivisionError\)"):
        read_settings({**SOUND, "PILOTHOUSE_BROKEN": "x"}, extra)
    with pytest.raises(SettingsError, match=r"PILOTHOUSE_ODD cannot be read \(KeyError\)"):
        read_settings(SOUND, extra[1:])


def test_settings_cannot_be_changed():
    settings = read()
    with pytest.raises(TypeError):
        settings.values["PILOTHOUSE_RETENTION_DAYS"] = 1
    with pytest.raises(AttributeError):
        settings.table = ()


def test_every_setting_says_what_it_is_for_and_bears_the_prefix():
    assert all(setting.name.startswith("PILOTHOUSE_") and len(setting.help) > 10 for setting in CORE_SETTINGS)
