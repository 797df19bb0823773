from modules.evaluation.verdict import Row, Verdict
from pipeline.commands.run import render_summary
from pipeline.showing.verdict import verdict_lines
from tests.pipeline.summaries import REFUSED, shown


def test_it_is_a_table_with_what_did_not_pass_and_the_weakest_of_what_did() -> None:
    lines = shown(render_summary, REFUSED, width=200)
    begin = lines.index("  blessed   no")
    assert lines[begin + 1 : begin + 5] == [
        "            ok  accuracy    test  98.3 % (94.1 to 99.5 %)  why",
        "            NO  baseline    test  p 0.031                  worse: ...",
        "            ok  class       3     95.0 % (76.4 to 99.1 %)  the weakest",
        "            NO  corruption  blur  50.0 % (38.1 to 61.9 %)  a floor",
    ]


def test_nothing_asked_and_nothing_measured() -> None:
    assert list(verdict_lines(Verdict(True))) == []
    row = Row("accuracy", "shop", None, None, None, 0.5, False, 0, "there is no such image")
    assert list(verdict_lines(Verdict(False, (row,)))) == [
        "NO  accuracy  shop  -  there is no such image"
    ]
