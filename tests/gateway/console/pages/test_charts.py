"""The geometry of charts."""

from __future__ import annotations

from gateway.console.pages.charts import bars, lines, spark

TONES = {"accepted": "good", "refused": "bad"}


def test_bars_are_stacked_from_the_bottom() -> None:
    """The parts of the largest fill the whole height."""
    chart = bars(
        [(0.0, 60.0, {"accepted": 30.0, "refused": 10.0}, "/a"), (60.0, 120.0, {"accepted": 20.0}, "/b")],
        TONES,
    )

    accepted, refused = chart.columns[0].parts
    assert (accepted.y, accepted.height) == (25.0, 75.0)
    assert (refused.y, refused.height) == (0.0, 25.0)
    assert chart.columns[1].parts[0].height == 50.0
    assert chart.legend == (("accepted", "good", 50.0), ("refused", "bad", 10.0))
    assert (chart.begins_at, chart.ends_at, chart.top) == (0.0, 120.0, 40.0)


def test_a_single_failure_in_a_million_can_be_seen() -> None:
    """It is what one looks for."""
    chart = bars([(0.0, 60.0, {"accepted": 1_000_000.0, "refused": 1.0}, "")], TONES)

    assert chart.columns[0].parts[1].height > 1


def test_nothing_gives_an_empty_chart() -> None:
    """Neither a division by zero nor a bar."""
    chart = bars([(0.0, 60.0, {}, "")], TONES)

    assert chart.columns[0].parts == ()
    assert chart.legend == ()
    assert bars([], TONES).columns == ()


def test_lines_break_where_nothing_is_known() -> None:
    """A gap is not a zero."""
    chart = lines([("p50", "good", [1.0, None, 2.0, 4.0])], 0.0, 60.0)

    assert chart.lines[0].path == "M0.0,75.0M666.7,50.0L1000.0,0.0"
    assert chart.lines[0].last == 4.0
    assert chart.rows[1] == (60.0, (None,))


def test_a_spark_needs_two_values() -> None:
    """One is no line."""
    assert spark([1.0]) is None
    drawn = spark([0.0, 0.0])
    assert drawn is not None
    assert drawn.line == "M0.0,100.0L1000.0,100.0"
