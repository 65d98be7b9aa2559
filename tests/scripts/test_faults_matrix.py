"""Each row of the fault matrix has a name of its own, and can be played or says why not."""

from collections import Counter

from scripts.fault_matrix import report
from scripts.fault_matrix.matrix import FAULTS, find


def test_each_row_is_played_in_one_way_or_says_why_not() -> None:
    for fault in FAULTS:
        ways = [fault.run is not None, fault.run_rig is not None, bool(fault.impossible)]
        assert ways.count(True) == 1, fault.name
        assert fault.times >= 1 <= fault.quick_times, fault.name
        assert "volume" in fault.needs or not fault.volume_mib, fault.name


def test_each_row_is_found_and_listed_by_its_own_name() -> None:
    assert Counter(fault.name for fault in FAULTS).most_common(1)[0][1] == 1
    listed = [line.split()[1] for line in report.listing(FAULTS).splitlines() if not line.startswith(" ")]
    assert listed == [fault.name for fault in FAULTS]
    assert all(find(name) is not None for name in listed)
    assert find("no-such-row") is None
