"""Pills, moments and deltas: icon and word, never colour alone, and honest about what matters."""

import pytest

from pilothouse import clock
from pilothouse.web import tags
from pilothouse.web.icons import GLYPHS, icon

NOW = 1_795_000_000_000


@pytest.mark.parametrize(("status", "tone", "word"), [
    ("failed", "t-bad", "Failed"), ("running", "t-run", "Running"), ("timed_out", "t-warn", "Timed out"),
    ("lost", "t-warn", "Lost"), ("succeeded", "t-ok plain", "Succeeded"), ("cancelled", "t-idle plain", "Cancelled"),
    ("strange_one", "t-idle", "Strange one"),
])
def test_a_status_has_icon_word_and_tone(status, tone, word):
    drawn = tags.status(status)
    assert f'class="pill {tone}"' in drawn
    assert drawn.endswith(f"</svg>{word}</span>")


def test_only_what_runs_turns():
    assert [name for name in tags.STATUSES if "spin" in tags.status(name)] == ["running"]


@pytest.mark.parametrize(("severity", "tone"), [
    ("critical", "t-bad"), ("high", "t-warn"), ("medium", "t-idle plain"), ("other", "t-idle plain"),
])
def test_severities_shout_only_where_they_should(severity, tone):
    assert f'class="pill {tone}"' in tags.severity(severity)


def test_words_from_outside_are_text():
    assert "&lt;b&gt;" in tags.pill("<b>")
    assert "<b>" not in tags.status("<b>")


def test_a_moment_ticks_and_tells_itself_exactly():
    with clock.replaced(lambda: NOW):
        drawn = tags.time(NOW - 41_000)
    assert f'data-t="{NOW - 41_000}"' in drawn
    assert 'title="2026-11-18 11:05:59.000 UTC"' in drawn
    assert drawn.endswith(">41s ago</time>")


def test_what_runs_shows_a_time_that_ticks():
    with clock.replaced(lambda: NOW):
        assert str(tags.duration(None, NOW - 3_200)) == f'<span class="nw" data-run="{NOW - 3_200}">3.2\u00a0s</span>'
    assert "data-run" not in tags.duration(500, NOW)
    assert "\u2013" in tags.duration(None)


@pytest.mark.parametrize(("now", "before", "good", "points", "shown"), [
    (117.2, 100, "none", False, "17\u00a0%"), (109.4, 100, "none", False, "9.4\u00a0%"), (1_300, 100, "none", False, "1,200\u00a0%"), (0.0245, 0.0259, "down", True, "0.1\u00a0pts"),
    (5, None, "up", False, "no earlier data"), (5, 0, "up", False, "no earlier data"), (100, 100, "up", False, "unchanged"),
])
def test_a_change_has_its_figure(now, before, good, points, shown):
    assert shown in tags.delta(now, before, good, points=points)


@pytest.mark.parametrize(("now", "before", "good", "enough", "tone"), [
    (110, 100, "up", True, "t-ok"), (110, 100, "down", True, "t-bad"), (90, 100, "down", True, "t-ok"),
    (104, 100, "up", True, None), (110, 100, "up", False, None), (110, 100, "none", True, None),
])
def test_a_change_is_coloured_only_where_it_matters(now, before, good, enough, tone):
    drawn = tags.delta(now, before, good, enough=enough)
    assert ("t-ok" in drawn, "t-bad" in drawn) == (tone == "t-ok", tone == "t-bad")


def test_backticks_mark_code_and_nothing_else_is_markup():
    assert str(tags.words("Run `db upgrade` <now>")) == "Run <code>db upgrade</code> &lt;now&gt;"
    assert str(tags.words("a lone ` stays")) == "a lone ` stays"


def test_an_unknown_icon_is_an_error():
    with pytest.raises(KeyError):
        icon("nothing")


@pytest.mark.parametrize("name", sorted(GLYPHS))
def test_icons_are_hidden_from_readers(name):
    assert icon(name, "sm").startswith('<svg class="i sm" viewBox="0 0 16 16" aria-hidden="true">')
