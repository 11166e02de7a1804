#!/usr/bin/python3
"""The pictures of a report: nothing lies on anything else, colours, lengths, words. Prints `ok NAME` or `not ok NAME`."""
import re
import sys
import xml.etree.ElementTree as ElementTree

import synthetic
from results import MADE, OPEN, SMALL, equal, holds, run
from rig import names, pictures, plots, result

OFF, ON = synthetic.OFF, synthetic.ON


SVG = "{http://www.w3.org/2000/svg}"


def texts_of(svg):
    """(left, top, right, bottom, text) of every word that stands upright; those that are turned have their sides exchanged."""
    found = []
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        words = [text.text for text in group.findall(f"{SVG}text") if text.text]
        if not words:
            continue
        x, y = map(float, re.match(r"translate\(([-\d.]+),([-\d.]+)\)", group.get("transform")).groups())
        size = float(group.get("font-size"))
        # What gnuplot's own placing of a text leaves around it is not in it.
        width, height = plots.text_width(" ".join(words).strip(), size) * 0.93, size * 0.8
        start = {"start": 0, "middle": width / 2, "end": width}[group.get("text-anchor")]
        if "rotate" in group.get("transform"):
            found.append((x - height, y - width + start, x, y + start, " ".join(words)))
        else:
            found.append((x - start, y - height, x - start + width, y, " ".join(words)))
    return found


def check_places(picture):
    width, height = (float(picture.svg.split(f'{side}="', 1)[1].split('"', 1)[0]) for side in ("width", "height"))
    boxes = texts_of(picture.svg)
    assert boxes, f"{picture.name} has no words"
    for left, top, right, bottom, text in boxes:
        assert left >= -2 and top >= -2 and right <= width + 2 and bottom <= height + 2, f"{picture.name}: {text!r} leaves the picture"
    for index, (left, top, right, bottom, text) in enumerate(boxes):
        for other_left, other_top, other_right, other_bottom, other in boxes[index + 1:]:
            apart = right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top
            assert apart, f"{picture.name}: {text!r} lies on {other!r}"


def test_no_words_in_pictures_lie_on_each_other():
    for choices in ({"rounds": 2}, {"rounds": 3, "seed": 4}, {"rounds": 1, "systems": (OFF,), "noise": False, "void": False},
                    {**SMALL, "faster": 0.01},
                    {**SMALL, "faster": 30.0}):
        drawn = pictures.draw(MADE.read(**choices))
        assert drawn
        for picture in drawn:
            check_places(picture)


def test_the_test_of_places_sees_words_that_lie_on_each_other():
    script = plots.Script(200, "title")
    script.text(100, 100, "one word")
    script.text(120, 102, "another")
    script.window(50, 50, 700, 150)
    script.axis("x", plots.linear_axis("x", 10))
    script.plot([f"{script.block([(1, 2)])} using 1:2 with points notitle"])
    picture = plots.Picture("p", "title", "", "", plots.finished(script.draw(), "p", "title", ""))
    try:
        check_places(picture)
    except AssertionError as error:
        holds(str(error), "one word", "another")
        return
    raise AssertionError("it does not")


def test_every_system_has_its_colour_and_its_name_in_every_picture():
    drawn = {picture.name: picture for picture in pictures.draw(MADE.read(rounds=2))}
    equal(len(set(names.COLOURS.values())), len(names.COLOURS), "colours")
    assert not set(names.COLOURS.values()) & set(names.COMPONENTS.values())
    for name in ("throughput", "spectrum-rate-10"):
        for system in (OFF, ON, "django published", "django best", "php-fpm best", "aiohttp best", "fastify best"):
            holds(drawn[name].svg, f"<text>{system}</text>")
            red, green, blue = (int(names.COLOURS[system][i:i + 2], 16) for i in (1, 3, 5))
            assert re.search(rf"rgb\(\s*{red},\s*{green},\s*{blue}\)", drawn[name].svg), f"{system} has another colour in {name}"
    # A bar for each system: their order is that of the rows.
    fills = re.findall(r"fill = 'rgb\(\s*(\d+),\s*(\d+),\s*(\d+)\)'", drawn["throughput"].svg)[:7]
    wanted = [tuple(str(int(names.COLOURS[system][i:i + 2], 16)) for i in (1, 3, 5)) for system in list(names.COLOURS)[:7]]
    equal(fills, wanted)


def test_pictures_say_what_they_show_to_those_who_do_not_see_them():
    for picture in pictures.draw(MADE.read(**SMALL)):
        root = ElementTree.fromstring(picture.svg)
        equal((root.get("role"), root.find(f"{SVG}title").text), ("img", picture.title))
        holds(root.find(f"{SVG}desc").text, OFF)
        assert picture.caption


def test_captions_say_what_the_brackets_are():
    for rounds, told in ((1, "Measured once."), (2, "lowest–highest of 2 rounds."), (4, "lowest–highest of 4 rounds."),
                         (5, "95 % interval.")):
        captions = {picture.name: picture.caption for picture in pictures.draw(MADE.read(rounds=rounds, void=False))}
        for name in ("throughput", "throughput-pinned", "hops", "slow-db", "ladder-rows", "ladder-connections"):
            holds(captions[name], told)
            equal("95 %" in captions[name], rounds == 5, f"{name} of {rounds} rounds speaks of 95 %")
        for name in ("cpu", "memory"):
            holds(captions[name], "Measured once." if rounds == 1 else "Medians over the rounds.")
    equal([names.interval(counts) for counts in ((), (0, 1), (3, 2, 1), (3, 7))],
          [None, None, "lowest–highest of 2 to 3 rounds", "95 % interval; of fewer than 5 rounds lowest–highest"])


def test_curves_of_survivors_say_how_many_they_are_of():
    def lose(run):
        if run["system"] == "django best":
            run["errors"]["unsent"] = 3 * run["requests"]

    made = result.read(str(MADE.changed(None, lose, **OPEN)))
    picture, = [one for one in pictures.draw(made) if one.name == "spectrum-rate-10"]
    holds(picture.svg, "<text>django best (25 % answered)</text>", f"<text>{OFF}</text>")
    holds(picture.caption, "survivors")
    check_places(picture)
    for picture in pictures.draw(MADE.read(**OPEN)):
        assert "answered)" not in picture.svg, picture.name


def test_bars_are_as_long_as_their_figures():
    rows = [plots.Bar("a", 100.0, "100", "#0072B2"), plots.Bar("b", 25.0, "25", "#D55E00"), plots.Bar("c", 0.0, "no answer", "#000000")]
    svg = plots.bars("p", "t", "c", [plots.Panel("/x", rows)], "units").svg
    lengths = []
    for points in re.findall(r"<polygon fill = 'rgb\([^']*\)' points = '([^']*)'", svg):
        xs = [float(point.split(",")[0]) for point in points.split()]
        lengths.append(max(xs) - min(xs))
    assert abs(lengths[0] / lengths[1] - 4) < 0.01, lengths


def test_a_bar_that_is_shortened_says_so():
    panels = pictures._stacked_panels([{"system": name, "path": "/x", "cpu_us": {"app": us, "client": 1.0}} for name, us in
                                       ((OFF, 10.0), ("django best", 30.0), ("django published", 500.0))], "cpu_us", 1, ("client",))
    equal([(row.short, row.text) for row in panels[0].rows], [(False, "10 + 1"), (False, "30 + 1"), (True, "500 + 1 (shortened)")])
    assert panels[0].rows[2].value < 50


def test_labels_of_curves_are_spread():
    for wanted in ([5, 5, 5, 5], [0, 100, 101, 102, 50], [200, 199, 198], [3]):
        places = plots.spread(wanted, 10, 0, 120)
        ordered = sorted(places)
        assert all(b - a >= 10 - 1e-6 for a, b in zip(ordered, ordered[1:])) and ordered[0] >= 0 and ordered[-1] <= 120, places
        equal(sorted(range(len(wanted)), key=lambda i: places[i]), sorted(range(len(wanted)), key=lambda i: wanted[i]), "order")
    equal(plots.spread([20, 60], 10, 0, 100), [20, 60], "labels with room")


def test_axes_have_round_figures():
    equal([plots.nice_step(most) for most in (1, 7, 12, 99, 38000)], [0.2, 2, 5, 20, 10000])
    equal(plots.linear_axis("x", 34000).ticks[1], (10000, "10,000"))
    equal([label for _, label in plots.log_axis("x", [90, 120000], names.tick).ticks], ["100 µs", "1 ms", "10 ms", "100 ms"])
    equal([names.duration(us) for us in (0.4, 850, 999.9, 3210, 12300, 999_949, 1_370_000, 82_200_000, 141_600_000, None)],
          ["0 µs", "850 µs", "1.00 ms", "3.21 ms", "12.3 ms", "1.00 s", "1.37 s", "82.2 s", "2.4 min", "–"])


def test_an_axis_of_one_value_has_a_figure():
    for value in (7, 14, 3333, 15999, 0.07):
        axis = plots.log_axis("x", [value], str)
        equal([axis.low <= tick <= axis.high for tick, _ in axis.ticks][:1], [True], f"ticks of an axis around {value}")


def test_the_longest_latency_has_a_place_in_a_spectrum():
    points = pictures.thinned([(0.5, 10.0), (0.9, 20.0), (1.0, 500.0)], 10, 4)
    equal([value for _, value in points], [10.0, 10.0, 20.0, 500.0])
    assert points[0][0] == 0 and abs(points[-1][0] - 1.301) < 0.001, points


if __name__ == "__main__":
    sys.exit(run(globals()))
