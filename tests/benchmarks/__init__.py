"""Measurements against the goals of docs/performance.md: `python -m tests.benchmarks [NAME ...] [--quick] [--json]`.

Each figure stands beside a yardstick of the same run (a bare client, a bare parser), since ratios hold on any machine.
"""
