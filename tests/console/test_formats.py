"""Figures read as people read them, the same everywhere."""

import subprocess
from pathlib import Path

import pytest

import pilothouse.web
from pilothouse.web import formats

SCRIPT = Path(pilothouse.web.__path__[0]) / "static" / "console.js"


@pytest.mark.parametrize(("ms", "text"), [
    (0, "0 ms"), (464, "464 ms"), (0.5, "1 ms"), (999, "999 ms"), (999.6, "1.0 s"), (1_949, "1.9 s"), (1_999, "2.0 s"),
    (59_949, "59.9 s"), (59_950, "1 m 00 s"), (67_000, "1 m 07 s"), (3_599_499, "59 m 59 s"), (3_599_500, "1 h 00 m"),
    (8_040_000, "2 h 14 m"), (86_369_999, "23 h 59 m"), (86_370_000, "1 d 00 h"), (90_000_000, "1 d 01 h"), (-5, "0 ms"),
])
def test_durations_are_rounded_to_what_is_shown_and_never_break(ms, text):
    assert formats.duration(ms) == text.replace(" ", "\u00a0")


@pytest.mark.parametrize(("ms", "text"), [(0, "0 ms"), (40_000, "40 s"), (80_000, "1 m 20 s"), (57_600_000, "16 h"), (2_500, "2.5 s")])
def test_an_axis_leaves_out_what_is_zero(ms, text):
    assert formats.axis_duration(ms) == text.replace(" ", "\u00a0")


@pytest.mark.parametrize(("age", "text"), [
    (0, "now"), (4_999, "now"), (5_000, "5s ago"), (41_000, "41s ago"), (16 * 60_000, "16m ago"), (4 * 3_600_000, "4h ago"),
    (59 * 86_400_000, "59d ago"), (-3 * 3_600_000, "in 3h"),
])
def test_moments_read_as_a_distance(age, text):
    assert formats.since(1_000_000_000_000, 1_000_000_000_000 + age) == text


@pytest.mark.parametrize(("nano", "text"), [
    (0, "$0"), (1, "<$0.0001"), (14_800_000, "$0.0148"), (99_960_000, "$0.10"), (652_850_000_000, "$652.85"),
    (1_234_567_000_000_000, "$1,234,567.00"), (-14_800_000, "-$0.0148"),
])
def test_money_shows_what_matters(nano, text):
    assert formats.money(nano) == text


@pytest.mark.parametrize(("number", "text"), [
    (0, "0"), (836, "836"), (9_999, "9,999"), (10_000, "10k"), (999_949, "999.9k"), (999_950, "1M"), (218_700_000, "218.7M"),
    (2.5, "2.5"), (-12_345, "-12.3k"), (3_000_000_000_000, "3T"),
])
def test_large_counts_are_short(number, text):
    assert formats.compact(number) == text


@pytest.mark.parametrize(("share", "text"), [(0.0245, "2.5 %"), (0.0996, "10 %"), (0.15, "15 %"), (1, "100 %"), (11.55, "1,155 %"), (0, "0.0 %")])
def test_shares_have_one_decimal_below_ten(share, text):
    assert formats.percent(share) == text.replace(" ", "\u00a0")


@pytest.mark.parametrize(("octets", "text"), [(1, "1 B"), (18_200, "18.2 kB"), (4_100_000, "4.1 MB"), (5e15, "5000.0 TB")])
def test_sizes_are_decimal(octets, text):
    assert formats.size(octets) == text.replace(" ", "\u00a0")


def test_what_is_missing_is_an_en_dash():
    writers = [*formats.FORMATS.values(), formats.since]
    assert {write(None) for write in writers} == {"\u2013"}


def test_a_program_s_name_becomes_a_word_of_the_page():
    assert [formats.word(text) for text in ("schedule", "api", "OpenAI agents", "")] == ["Schedule", "API", "OpenAI agents", ""]


def test_initials_come_from_names_and_addresses():
    assert [formats.initials(name) for name in ("Ada Moreau", "ada.m@x.org", "", "\u00e9mile")] == ["AM", "AM", "?", "\u00c9"]


def test_the_script_prints_the_same_durations_as_the_server():
    values = [0, 464, 999.6, 1_949, 1_999, 59_949, 59_950, 67_000, 3_599_499, 3_599_500, 8_040_000, 86_370_000, 90_000_000]
    printed = run_in_script(f"{values}.map(duration).join('|')")
    assert printed == "|".join(formats.duration(value) for value in values)


def test_the_script_prints_the_same_ages_as_the_server():
    ages = [0, 4_999, 41_000, 16 * 60_000, 4 * 3_600_000, 59 * 86_400_000]
    printed = run_in_script(f"{ages}.map(age => since(now() - age)).join('|')")
    assert printed == "|".join(formats.since(0, age) for age in ages)


def run_in_script(expression):
    """Run the script's own functions, cut out by their names, in Node; skipped where there is none."""
    node = next((path for path in ("/usr/bin/node", "/usr/local/bin/node") if Path(path).exists()), None)
    if node is None:
        pytest.skip("no Node.js to run the script's functions")
    source = SCRIPT.read_text()
    cut = source[source.index("  const NB ="): source.index("  const put =")]
    program = f"const now = () => 1e12; {cut}; process.stdout.write({expression})"
    return subprocess.run([node, "-e", program], capture_output=True, text=True, check=True).stdout
