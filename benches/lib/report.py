"""Results: kept as JSON, shown as a table, and put between marks into a Markdown file."""

import json
import statistics
from pathlib import Path

from lib.servers import TITLES

ORDER = ("nginx", "haproxy", "envoy", "tokenward")


def row(what, unit, values, digits=1, note=None, chart=None, rival="nginx"):
    """One line: for each proxy what each round gave. `chart` is its name in the picture."""
    made = {"what": what, "unit": unit, "digits": digits, "values": values, "rival": rival}
    if note:
        made["note"] = note
    if chart:
        made["chart"] = chart
    return made


def ratios(row, name="tokenward"):
    """Median, lowest and highest ratio to the rival; of pairs of one round, where there are pairs."""
    ours, theirs = row["values"].get(name), row["values"].get(row.get("rival", "nginx"))
    if not ours or not theirs or min(theirs) <= 0:
        return None
    if len(ours) == len(theirs):
        each = [a / b for a, b in zip(ours, theirs)]
        return statistics.median(each), min(each), max(each)
    middle = statistics.median(ours) / statistics.median(theirs)
    return middle, middle, middle


def table(rows):
    names = [name for name in ORDER if any(row["values"].get(name) for row in rows)]
    lines = ["| | " + " | ".join(TITLES[name] for name in names) + " | tokenward to nginx |",
             "|---|" + "---|" * (len(names) + 1)]
    for row in rows:
        cells = [number(row, row["values"].get(name)) for name in names]
        ratio = ratios(row)
        if not ratio:
            last = "–"
        elif ratio[1] == ratio[2]:
            last = f"**{ratio[0]:.2f}**"
        else:
            last = f"**{ratio[0]:.2f}** ({ratio[1]:.2f}–{ratio[2]:.2f})"
        note = f" ({row['note']})" if row.get("note") else ""
        lines.append(f"| {row['what']}{note} | " + " | ".join(cells) + f" | {last} |")
    return "\n".join(lines)


def number(row, values):
    if not values:
        return "–"
    return f"{statistics.median(values):,.{row['digits']}f} {row['unit']}".strip()


class Results:
    """A JSON file that is written after each part, so that nothing measured is lost."""

    def __init__(self, path):
        self.path = Path(path)
        self.content = {"machine": {}, "parts": {}}
        if self.path.exists():
            self.content = json.loads(self.path.read_text())

    def has(self, part, key):
        """Whether that part was measured with the same program and settings."""
        return self.content["parts"].get(part, {}).get("key") == key

    def put(self, part, key, rows, **more):
        self.content["parts"][part] = {"key": key, "rows": rows, **more}
        self.save()

    def save(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".writing")
        scratch.write_text(compact(self.content) + "\n")
        scratch.replace(self.path)

    def rows(self, order):
        parts = self.content["parts"]
        return [row for part in order if part in parts for row in parts[part]["rows"]]


def compact(value, depth=0):
    """JSON with a line for each entry, but short lists of numbers on one; numbers of five digits."""
    def plain(one):
        if isinstance(one, float):
            return float(f"{one:.5g}")
        if isinstance(one, dict):
            return {key: plain(inner) for key, inner in one.items()}
        return [plain(inner) for inner in one] if isinstance(one, list) else one

    value = plain(value)
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or len(flat) <= 96 - 2 * depth or not value:
        return flat
    pad, end = "  " * (depth + 1), "\n" + "  " * depth
    if isinstance(value, list):
        inner = ",\n".join(pad + compact(one, depth + 1) for one in value)
        return f"[\n{inner}{end}]"
    inner = ",\n".join(f"{pad}{json.dumps(key)}: {compact(one, depth + 1)}" for key, one in value.items())
    return f"{{\n{inner}{end}}}"


def put_between(path, name, text):
    """Writes `text` between the marks of that name: `<!-- name -->` and `<!-- /name -->`."""
    path = Path(path)
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    whole = path.read_text() if path.exists() else ""
    if begin not in whole or end not in whole:
        print(f"{path.name} has no place for it: {begin} … {end}")
        return
    before, rest = whole.split(begin, 1)
    path.write_text(before + begin + "\n\n" + text.strip() + "\n\n" + end + rest.split(end, 1)[1])
