"""The picture of what waiting costs by the number of jobs, drawn from runs of `waiting`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import waiting

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "waiting.svg"
LEFT, RIGHT, TOP, BOTTOM = 60, 580, 30, 250
MEGABYTES, PERCENT = "#1f77b4", "#d62728"
STEPS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2000, 10_000], help="numbers of jobs")
    parser.add_argument("--seconds", type=float, default=30, help="how long each steady state is looked at")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where to draw")


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure and draw; returns the figures by number of jobs."""
    figures = {str(size): _measured(size, arguments.seconds) for size in arguments.sizes}
    rows = [(size, figures[str(size)]) for size in arguments.sizes]
    memory = [(size, float(str(row["kb_per_job"])) * size / 1000) for size, row in rows]
    cpu = [(size, float(str(row["cpu_percent"]))) for size, row in rows]
    arguments.picture.write_text(drawn(memory, cpu))
    return {**figures}


def _measured(size: int, seconds: float) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    waiting.add_arguments(parser)
    return waiting.run(parser.parse_args(["--jobs", str(size), "--seconds", str(seconds)]))


def drawn(memory: Sequence[tuple[int, float]], cpu: Sequence[tuple[int, float]]) -> str:
    """An SVG of megabytes (left scale) and percent of a core (right scale) by jobs."""
    most, megabytes = max(size for size, _ in memory), _rounded(max(value for _, value in memory))
    percent = max(10.0, _rounded(max(value for _, value in cpu)))
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 300" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for step in range(STEPS + 1):
        share = step / STEPS
        x, y = LEFT + share * (RIGHT - LEFT), BOTTOM - share * (BOTTOM - TOP)
        parts += [
            f'<line x1="{x:.0f}" y1="{TOP}" x2="{x:.0f}" y2="{BOTTOM}" stroke="#ddd"/>',
            f'<text x="{x:.0f}" y="268" text-anchor="middle">{share * most:,.0f}</text>',
            f'<line x1="{LEFT}" y1="{y:.0f}" x2="{RIGHT}" y2="{y:.0f}" stroke="#ddd"/>',
            f'<text x="52" y="{y + 4:.0f}" text-anchor="end" fill="{MEGABYTES}">{share * megabytes:.0f} MB</text>',
            f'<text x="588" y="{y + 4:.0f}" fill="{PERCENT}">{share * percent:.0f} %</text>',
        ]
    parts += _line(memory, most, megabytes, MEGABYTES) + _line(cpu, most, percent, PERCENT)
    legend = "waiting jobs with 4 executors each: memory (left), CPU of one core (right)"
    return "\n".join([*parts, f'<text x="320" y="292" text-anchor="middle">{legend}</text></svg>\n'])


def _line(values: Sequence[tuple[int, float]], most: int, top: float, colour: str) -> list[str]:
    points = [(LEFT + size / most * (RIGHT - LEFT), BOTTOM - value / top * (BOTTOM - TOP)) for size, value in values]
    joined = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
    line = f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{joined}"/>'
    return [line, *(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{colour}"/>' for x, y in points)]


def _rounded(value: float) -> float:
    """The next multiple of 50 above, or of 10 for what is small."""
    unit = 50 if value > 50 else 10
    return float(-(-value // unit) * unit)
