"""What measures is tested too: a figure that is wrong does more harm than none."""

from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
