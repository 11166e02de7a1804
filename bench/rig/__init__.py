"""The benchmark rig: what bench/floors, bench/memory and bench/spread share. Python's standard library only."""
