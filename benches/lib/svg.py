"""Small charts as SVG, readable on light and dark pages."""

import math
from html import escape

# One colour for each series; the same names in all charts.
COLOURS = {
    "nginx": ("#1a7f37", "#56d364"), "haproxy": ("#9a6700", "#e3b341"),
    "envoy": ("#8250df", "#bc8cff"), "tokenward": ("#0969da", "#58a6ff"),
}
OTHERS = [("#cf222e", "#ff7b72"), ("#57606a", "#8b949e")]
TITLES = {"nginx": "nginx", "haproxy": "HAProxy", "envoy": "Envoy", "tokenward": "tokenward"}
WIDTH = 860


def colours(series):
    spare = iter(OTHERS * 8)
    return {name: COLOURS.get(name) or next(spare) for name in series}


def page(height, body, series, title):
    light, dark = [], []
    for place, (name, pair) in enumerate(colours(series).items()):
        light.append(f".s{place}{{fill:{pair[0]};stroke:{pair[0]}}}")
        dark.append(f".s{place}{{fill:{pair[1]};stroke:{pair[1]}}}")
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" \
height="{height}" role="img" aria-label="{escape(title)}">
<title>{escape(title)}</title>
<style>
text{{font:15px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#1f2328;stroke:none}}
.big{{font-size:18px;font-weight:600}} .soft{{fill:#59636e;font-size:14px}}
.axis{{stroke:#8c959f;stroke-width:1;fill:none}} .grid{{stroke:#d1d9e0;stroke-width:1;fill:none}}
.one{{stroke:#1f2328;stroke-width:1.5;stroke-dasharray:5 4;fill:none}}
.line{{fill:none;stroke-width:2.5}} .spread{{stroke:#1f2328;stroke-width:1.5;opacity:.65}}
{"".join(light)} .line{{fill:none}}
@media (prefers-color-scheme:dark){{
text{{fill:#f0f6fc}} .soft{{fill:#9198a1}} .axis{{stroke:#656c76}} .grid{{stroke:#3d444d}}
.one,.spread{{stroke:#f0f6fc}} {"".join(dark)} .line{{fill:none}} }}
</style>
{body}
</svg>
"""


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def bars(title, soft, groups, reference=1.0, limit=None):
    """Horizontal bars. `groups`: (name, [(series, label, value, low, high)]). `reference` is a line;
    a bar longer than `limit` is cut and says its value."""
    series = list(dict.fromkeys(bar[0] for _, inner in groups for bar in inner))
    places = {name: place for place, name in enumerate(series)}
    left, right = 330, 120
    top = max((bar[2] for _, inner in groups for bar in inner), default=reference)
    top = max(min(top, limit) if limit else top, reference) * 1.04
    scale = (WIDTH - left - right) / top
    parts, y = [text(20, 32, title, "big"), text(20, 54, soft, "soft")], 78
    at = left + reference * scale
    for name, inner in groups:
        if name:
            y += 8
            parts.append(text(20, y + 14, name, "big"))
            y += 26
        # The line is not drawn through names.
        line = f'<path d="M{at:.1f} {y - 2}V{y + 27 * len(inner) - 2}" class="one"/>'
        for key, label, value, low, high in inner:
            length = min(value, top) * scale
            parts.append(text(left - 12, y + 16, label, anchor="end"))
            parts.append(f'<rect x="{left}" y="{y}" width="{max(length, 1):.1f}" height="20" rx="2" '
                         f'class="s{places[key]}"/>')
            end = left + length
            if value <= top and high > low:
                a, b = left + low * scale, left + min(high, top) * scale
                parts.append(f'<path d="M{a:.1f} {y + 10}H{b:.1f}M{a:.1f} {y + 5}v10M{b:.1f} {y + 5}v10" '
                             f'class="spread"/>')
                end = max(end, b)
            if end < at < end + 52:
                end = at
            cut = " (cut)" if value > top else ""
            parts.append(text(end + 8, y + 16, f"{value:.2f}{cut}"))
            y += 27
        parts.append(line)
    parts.append(text(at, y + 18, f"nginx = {reference:g}", "soft", "middle"))
    return page(y + 34, "\n".join(parts), series, title)


def lines(title, x_name, y_name, series, x_log=True, y_log=False, x_label=None):
    """Lines over one axis. `series`: name → [(x, y, low, high)]."""
    left, right, top, bottom = 80, 40, 92, 62
    height = 400
    names = list(series)
    xs = sorted({point[0] for points in series.values() for point in points})
    ys = [point[3] for points in series.values() for point in points]
    least = min(point[2] for points in series.values() for point in points)
    spot = {x: place for place, x in enumerate(xs)}

    def across(x):
        # Steps of equal width: the values are chosen by hand, and 0 has no logarithm.
        whole = WIDTH - left - right
        if x_log:
            return left + whole * spot[x] / max(len(xs) - 1, 1)
        return left + whole * x / max(xs[-1], 1e-9)

    marks, low, high = ticks(least, max(ys), y_log)

    def up(y):
        whole = height - top - bottom
        if y_log:
            y = max(y, low)
            return height - bottom - whole * math.log(y / low) / math.log(high / low)
        return height - bottom - whole * (y - low) / (high - low)

    parts = [text(20, 32, title, "big"), text(20, 82, y_name, "soft")]
    for mark in marks:
        parts.append(f'<path d="M{left} {up(mark):.1f}H{WIDTH - right}" class="grid"/>')
        parts.append(text(left - 10, up(mark) + 5, f"{mark:,.10g}", "soft", "end"))
    for x in xs:
        name = x_label(x) if x_label else f"{x:,}"
        parts.append(text(across(x), height - bottom + 22, name, "soft", "middle"))
    parts.append(f'<path d="M{left} {height - bottom}H{WIDTH - right}" class="axis"/>')
    parts.append(text((left + WIDTH - right) / 2, height - 14, x_name, "soft", "middle"))
    at = 20
    for place, name in enumerate(names):
        label = TITLES.get(name, name)
        parts.append(f'<rect x="{at}" y="46" width="14" height="14" rx="2" class="s{place}"/>')
        parts.append(text(at + 20, 59, label))
        at += 44 + 8.2 * len(label)
        points = sorted(series[name])
        path = "M" + "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y, _, _ in points)
        parts.append(f'<path d="{path}" class="s{place} line"/>')
        for x, y, a, b in points:
            parts.append(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3.5" class="s{place}"/>')
            if b > a:
                parts.append(f'<path d="M{across(x):.1f} {up(a):.1f}V{up(b):.1f}" class="spread"/>')
    return page(height, "\n".join(parts), names, title)


def ticks(least, most, log):
    if log:
        low, high = 10 ** math.floor(math.log10(max(least, 1e-3))), 10 ** math.ceil(math.log10(most))
        high = high if high > low else low * 10
        steps = round(math.log10(high / low))
        return [low * 10**step for step in range(steps + 1)], low, high
    rough = most / 5 or 1
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * many for many in (1, 2, 2.5, 5, 10) if size * many >= rough)
    count = math.ceil(most / step) or 1
    return [step * place for place in range(count + 1)], 0, step * count
