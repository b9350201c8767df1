"""Charts and small graphics are SVG of geometry alone, with honest axes."""

import re
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from pilothouse import clock
from pilothouse.web.charts import Chart, Series, chart, duration_ticks, nice_ticks, time_label, time_ticks
from pilothouse.web.marks import Bucket, Lane, bars, histogram, lane, meter, spark

START = 1_763_424_000_000  # 2025-11-18T00:00:00Z
DAYS = [START + day * clock.DAY for day in range(7)]


def draw(*series, **options):
    return chart(Chart("Runs", series, DAYS, **options))


@pytest.mark.parametrize(("top", "ticks"), [
    (2007, [0, 500, 1000, 1500, 2000, 2500]), (4, [0, 1, 2, 3, 4]), (0, [0, 1]), (0.04, [0, 0.01, 0.02, 0.03, 0.04]),
    (7, [0, 2, 4, 6, 8]),
])
def test_axes_start_at_zero_and_end_above_the_highest(top, ticks):
    assert nice_ticks(top) == pytest.approx(ticks)


def test_duration_axes_step_as_clocks_do():
    assert duration_ticks(95_000) == [0, 20_000, 40_000, 60_000, 80_000, 100_000]
    assert duration_ticks(400) == nice_ticks(400)


def test_time_labels_stand_on_round_local_times():
    berlin = ZoneInfo("Europe/Berlin")
    ticks = time_ticks(START + 1, START + clock.DAY, berlin)
    assert {clock.to_datetime(tick).astimezone(berlin).hour % 3 for tick in ticks} == {0}
    labels = [time_label(START, span, berlin) for span in (clock.DAY, 7 * clock.DAY, 40 * clock.DAY)]
    assert labels == ["01:00", "Tue 18", "18 Nov"]


def test_a_line_breaks_where_there_is_no_value():
    path = re.search(r'class="line c1" d="([^"]+)"', draw(Series("Runs", [1, 2, None, 4, 5, 6, 7])))[1]
    assert path.count("M") == 2


@pytest.mark.parametrize(
    ("values", "dots"),
    [((1, None, 3, 4, None, 6), 2), ((None, None, 5), 1), ((5,), 1), ((1, 2, 3), 0), ((None, None), 0)],
)
@pytest.mark.parametrize("open_end", [True, False])
def test_a_value_without_neighbours_is_a_dot(values, dots, open_end):
    drawn = chart(Chart("T", [Series("s", values)], range(len(values)), open_end=open_end))
    assert drawn.count("h0") == dots
    assert drawn.count('class="dot c1"') == bool(dots)


def test_the_earlier_period_is_dashed_and_the_open_bucket_marked():
    drawn = draw(Series("Runs", range(1, 8)), Series("Before", range(1, 8), "dash"), open_end=True)
    assert 'class="dash"' in drawn
    assert 'class="line open c1"' in drawn


def test_an_open_bar_is_marked_and_a_zero_has_no_bar():
    drawn = draw(Series("Spend", [1, 0, 3, 4, 5, 6, 7], "bar", "c3"), open_end=True)
    assert drawn.count("<rect") == 6
    assert drawn.count("c3 open") == 1


@pytest.mark.parametrize(("fmt", "value", "label"), [
    ("money", 40e9, "$40"), ("percent", 0.04, "4\u00a0%"), ("percent", 0.004, "0.4\u00a0%"),
    ("duration", 60_000, "1\u00a0m"), ("duration", 4_800_000, "1\u00a0h\u00a020\u00a0m"),
    ("count", 25_000, "25k"),
])
def test_axes_carry_the_unit(fmt, value, label):
    assert f">{label}<" in draw(Series("One", [value] * 7), fmt=fmt)


def test_a_chart_without_values_is_still_a_chart():
    drawn = draw(Series("Runs", [None] * 7, "area"))
    assert 'class="area' not in drawn
    assert chart(Chart("Nothing", [Series("Runs", [])], [])).count("<svg") == 3


def test_a_chart_knows_the_edges_to_zoom_by():
    drawn = draw(Series("Runs", range(7)), zoom="/analytics/?a=1&b=2")
    assert 'data-zoom="/analytics/?a=1&amp;b=2"' in drawn
    assert f"{DAYS[-1] + clock.DAY}" in drawn


def test_what_lies_behind_a_bucket_is_cut_as_the_bucket_is():
    whole = Chart("Runs", [Series("Runs", [1, 2, 3])], [0, 100, 200], rows="/runs/")
    assert [whole.rows_of(n) for n in (0, 2)] == ["/runs/?since=0&until=100", "/runs/?since=200&until=300"]
    cut = replace(whole, ends=(30, 250))
    assert [cut.rows_of(n) for n in (0, 2)] == ["/runs/?since=30&until=100", "/runs/?since=200&until=250"]


def test_titles_are_text_and_no_style_is_inline():
    drawn = chart(Chart('"><script>', [Series("Runs", [1, 2])], DAYS[:2]))
    assert "<script>" not in drawn
    assert "style=" not in drawn


def test_a_histogram_stacks_failures_at_the_bottom_and_links_each_bar():
    buckets = [Bucket("09:00, 2 failed", "/runs/?since=1", {"failed": 2, "other": 1000}), Bucket("10:00", "/", {})]
    drawn = histogram(buckets, "Runs")
    failed = re.search(r'class="c-bad" d="M[\d.]+ ([\d.]+)v-([\d.]+)h[\d.]+V([\d.]+)z"', drawn)
    others = re.search(r'class="c-neutral" d="M[\d.]+ ([\d.]+)v-([\d.]+)h', drawn)
    assert failed[1] == failed[3] == "56.0"
    assert float(failed[2]) == 1.5  # two of a thousand are seen
    assert float(others[1]) == 56 - 1.5
    assert float(others[1]) - float(others[2]) >= 0
    assert drawn.count("<a href") == 2


def test_only_a_bar_that_stands_out_is_red():
    assert bars([1, 2, 0, 40, 1, 2], "Events").count("c-bad") == 1
    assert "c-bad" not in bars([1, 2, 0, 7, 1, 2], "Events")


def test_small_graphics_stay_inside_their_box():
    assert 'width="100.00%"' in meter(300, 100)
    assert 'width="0.00%"' in meter(1, 0)
    assert 'x="99.60%" y="2" width="0.40%"' in lane(Lane(100, 0))
    assert spark([1]) == ""
    assert "M0.0 28.0" in spark([5, 5, 5])


def test_stacked_bars_stand_on_each_other():
    series = [Series("a", [1, 2], "bar", "c1"), Series("b", [3, 2], "bar", "c2", base=[1, 2])]
    drawn = str(chart(Chart("Spend", series, [0, clock.HOUR])))
    assert [(float(y), float(h)) for y, h in re.findall(r'<rect[^>]* y="([\d.]+)"[^>]* height="([\d.]+)"', drawn)] == [
        (150, 50), (100, 100), (0, 150), (0, 100),
    ]  # fmt: skip


def test_what_a_chart_begins_in_the_midst_of_is_marked_as_what_is_not_over_yet():
    line, midst = Series("Runs", range(1, 8)), (DAYS[0] + 1, DAYS[-1] + 1)
    assert draw(line, ends=midst).count("line open") == 1
    assert draw(line, ends=midst, open_end=True).count("line open") == 2
    assert "line open" not in draw(line, ends=(DAYS[0], DAYS[-1]))
    assert draw(Series("Spend", range(1, 8), "bar", "c3"), ends=midst).count("c3 open") == 1
