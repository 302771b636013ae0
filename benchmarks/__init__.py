"""Benchmarks: greenworld beside its peers, measured in one run.

`python -m benchmarks.primitives`, `python -m benchmarks.http`, `python -m benchmarks.stdlib` and
`python -m benchmarks.import_time`; `docs/benchmarks.md` says what each row is.

Rules:

1. What is compared is measured in the same run, in turns (A B C, A B C, …), so that a noisy
   minute hits everyone; a ratio is the median of the ratios within the turns.
2. Everyone does the same work the same number of times, each in the way its own documentation
   recommends and, where there are several, in the fastest.
3. A peer that cannot be imported is skipped, and the report says so.
"""
