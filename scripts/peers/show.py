"""What scripts/compare shows: how far it is, and tables of medians, spreads and ratios.

In: the figures of every round. Out: lines on standard error while it runs; at the end Markdown, or
on a terminal columns that fit it.
"""

import shutil
import statistics
import sys
import time

MORE_IS_BETTER = {"values/s", "questions asked meanwhile"}


class Progress:
    """A line for each run: which of how many, what it does, how long the rest may take."""

    def __init__(self, runs):
        self.runs, self.done, self.took = runs, 0, {}
        self.began = self.run_began = time.monotonic()
        self.current, self.number = None, 0

    def begin(self, number, kind, server):
        self.current, self.number = (kind, server), number
        self.run_began = time.monotonic()
        self.step("starts")

    def step(self, what):
        """What the current run does now; only shown where a line can be written over."""
        if sys.stderr.isatty():
            wide = shutil.get_terminal_size().columns - 1
            print(f"\r{self.head()}: {what}"[:wide].ljust(wide), end="", file=sys.stderr, flush=True)

    def head(self):
        kind, server = self.current
        place = f"{self.done + 1:>3}/{len(self.runs)}"
        return f"{place}  {self.left():<12}round {self.number + 1}, {kind}, {server}"

    def left(self):
        """Known once each run has been seen, a round further or so."""
        rest = self.runs[self.done:]
        known = [self.took[run] for run in rest if run in self.took]
        if not known:
            return ""
        seconds = sum(known) / len(known) * len(rest) - (time.monotonic() - self.run_began)
        return f"{max(seconds, 0) / 60:.0f} min left"

    def end(self):
        self.took[self.current] = time.monotonic() - self.run_began
        clear = "\r" if sys.stderr.isatty() else ""
        print(f"{clear}{self.head()}: {self.took[self.current]:.0f} s".ljust(60), file=sys.stderr)
        self.done += 1


def number(value):
    """Four digits that count, thousands set apart."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def cell(values):
    """The median and how far the rounds spread."""
    middle = statistics.median(values)
    if len(values) < 2 or not middle:
        return number(middle)
    return f"{number(middle)} ±{(max(values) - min(values)) / 2 / abs(middle):.0%}"


def ratios(row, ours, theirs):
    """Peer against ringtail, round by round."""
    found = []
    for mine, other in zip(ours, theirs):
        over, under = (mine, other) if row in MORE_IS_BETTER else (other, mine)
        if under and over == over:
            found.append(over / under)
    if not found:
        return ""
    middle = f"{statistics.median(found):.3g}"
    return middle if len(found) == 1 else f"{middle} ({min(found):.3g} to {max(found):.3g})"


def known(figures, row):
    value = figures.get(row)
    return value is not None and value == value


def table(title, names, found, wide=None):
    """Prints a table; `wide` is the columns of the terminal, None asks for Markdown."""
    rows = dict.fromkeys(key for name in names for figures in found[name] for key in figures)
    peers = [name for name in names if name != "ringtail"] if "ringtail" in names else []
    lines = [["what", *names, *(f"{name} : ringtail" for name in peers)]]
    for row in rows:
        values = {name: [one[row] for one in found[name] if known(one, row)] for name in names}
        cells = [cell(values[name]) if values[name] else "" for name in names]
        cells += [ratios(row, values["ringtail"], values[name]) for name in peers]
        lines.append([row, *cells])
    print(f"\n{title}\n")
    if wide is None:
        markdown(lines)
    elif len(text(lines)[0]) <= wide or not peers:
        print("\n".join(text(lines)))
    else:
        # One table a peer, so that it stays readable.
        for peer in peers:
            at = [0, 1 + names.index("ringtail"), 1 + names.index(peer),
                  1 + len(names) + peers.index(peer)]
            print("\n".join(text([[line[place] for place in at] for line in lines])) + "\n")


def markdown(lines):
    lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    for line in lines:
        print("| " + " | ".join(line) + " |")


def text(lines):
    """Columns; the first at the left, the others at the right."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    shown = []
    for line in lines:
        cells = [f"{cell:>{wide + 2}}" for cell, wide in zip(line[1:], widths[1:])]
        shown.append(f"{line[0]:<{widths[0]}}" + "".join(cells))
    return [shown[0], "-" * len(shown[0]), *shown[1:]]
