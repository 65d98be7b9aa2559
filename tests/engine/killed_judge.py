"""Judges and commits made traffic until it is killed; prints a line for each commit."""

import random
import sys

from judging import arrivals_of, judge_of, play

from anpr.clock import SystemClock
from anpr.store import Store

folder, seed, vehicles = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with Store.open(folder, clock=SystemClock()) as store:
    judge = judge_of(store)
    for sighting in arrivals_of(random.Random(seed), vehicles=vehicles):
        play(store, judge, [sighting])
        print(sighting.id, flush=True)
