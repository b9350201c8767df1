"""JSON is shown as a tree of text, bounded in depth and length."""

from pilothouse.web.json_tree import ITEMS, TEXT, json_tree


def test_values_are_text_never_markup():
    tree = json_tree({"<b>": "<script>alert(1)</script>"})
    assert "<script>" not in tree
    assert "&lt;b&gt;" in tree


def test_small_levels_start_open_and_long_ones_closed():
    assert json_tree({"a": [1]}).count("<details open>") == 2
    assert json_tree(list(range(30))).startswith("<details><summary>[] 30 entries")


def test_long_lists_and_texts_are_cut_and_say_so():
    assert "and 50 more" in json_tree(list(range(ITEMS + 50)))
    assert f"({TEXT + 1:,} characters)" in json_tree("x" * (TEXT + 1))


def test_deep_values_end_in_their_text():
    value = "leaf"
    for _ in range(200):
        value = [value]
    assert json_tree(value).count("<details") == 40


def test_plain_values_keep_their_json_form():
    assert [str(json_tree(value)) for value in (None, True, 1.5, [], {})] == [
        f'<span class="v">{text}</span>' for text in ("null", "true", "1.5", "[]", "{}")
    ]
