"""What the kernel tells of memory, in files written for a test."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.memory import PAGE, ControlGroups, Reading, Resident, gauge, most

MIB = 2**20
BOUNDLESS = 9223372036854771712
"""What version 1 says where nothing limits a group."""

STAT = "anon 1\ninactive_file {0}\nactive_file {1}\nslab_reclaimable {2}\nslab_unreclaimable 7\n"


class Machine:
    """A folder that looks like ``/proc/self``, and one with control groups."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.root = Path(case.mktemp()).absolute()
        self.proc = self.root / "proc"
        self.proc.mkdir(parents=True)
        self.mounts: list[str] = ["22 28 0:20 / /proc rw - proc proc rw"]

    def mount(self, root: str = "/", kind: str = "cgroup2", options: str = "rw", folder: str = "cg") -> Path:
        """Control groups are mounted; what is there."""
        path = self.root / folder
        path.mkdir()
        escaped = str(path).replace(" ", "\\040")
        self.mounts.append(f"31 23 0:28 {root} {escaped} rw,relatime shared:4 - {kind} cgroup {options}")
        (self.proc / "mountinfo").write_text("\n".join(self.mounts) + "\n")
        return path

    def inside(self, *lines: str) -> None:
        """The groups that the process is in."""
        (self.proc / "cgroup").write_text("".join(f"{line}\n" for line in lines))

    def v2(self, folder: Path, used: int, limit: str, high: str = "max", freed: tuple[int, ...] = (0, 0, 0)):
        """A group of version 2."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.high").write_text(f"{high}\n")
        (folder / "memory.stat").write_text(STAT.format(*freed))

    def v1(self, folder: Path, used: int, limit: int) -> None:
        """A group of version 1; a tenth of what it uses are files that were read."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.usage_in_bytes").write_text(f"{used}\n")
        (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
        (folder / "memory.stat").write_text(f"inactive_file 5\ntotal_inactive_file {used // 10}\n")


class ControlGroupsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.machine = Machine(self)
        self.groups = ControlGroups(str(self.machine.proc))
        self.addCleanup(self.groups.close)

    def read(self) -> Reading | None:
        self.assertTrue(self.groups.open())
        return self.groups.read()

    def test_version_2(self) -> None:
        """What the group uses counts, without what the kernel would give up by itself."""
        root = self.machine.mount()
        self.machine.inside("0::/system.slice/tcpsuite.service")
        own = root / "system.slice" / "tcpsuite.service"
        self.machine.v2(own, 100 * MIB, str(200 * MIB), freed=(10 * MIB, 20 * MIB, 30 * MIB))
        self.assertEqual(self.read(), Reading(40 * MIB, 200 * MIB, f"control group {own}"))
        self.assertEqual(repr(self.groups), f"<ControlGroups {own}>")

    def test_is_read_anew(self) -> None:
        """Its use and its limit may change at any time; a limit that is lifted is none."""
        root = self.machine.mount()
        self.machine.inside("0::/")
        self.machine.v2(root, 50, "100")
        self.read()
        self.machine.v2(root, 60, "80")
        self.assertEqual(self.groups.read(), Reading(60, 80, f"control group {root}"))
        self.machine.v2(root, 60, "max")
        self.assertIsNone(self.groups.read())

    def test_the_softer_limit_counts_too(self) -> None:
        """At memory.high the kernel slows the group down, which is to be kept from."""
        root = self.machine.mount()
        self.machine.inside("0::/")
        self.machine.v2(root, 50, "100", high="70")
        reading = self.read()
        assert reading is not None
        self.assertEqual((reading.limit, round(reading.share, 3)), (70, 0.714))

    def test_nested(self) -> None:
        """Of a group and those that it lies in, the one that is nearest to its limit is told of."""
        root = self.machine.mount()
        self.machine.inside("0::/a/b/c")
        self.machine.v2(root / "a", 900, "1000")
        self.machine.v2(root / "a" / "b", 60, "100")
        self.machine.v2(root / "a" / "b" / "c", 50, "max")
        self.assertEqual(self.read(), Reading(900, 1000, f"control group {root / 'a'}"))
        self.machine.v2(root / "a" / "b", 95, "100")
        self.assertEqual(self.groups.read(), Reading(95, 100, f"control group {root / 'a' / 'b'}"))

    def test_version_1(self) -> None:
        """The memory controller has its own mount and its own path; the rest of the machine may be version 2,
        which knows nothing of memory then.
        """
        self.machine.mount(folder="unified")
        self.machine.mount(kind="cgroup", options="rw,cpu", folder="cpu")
        root = self.machine.mount(kind="cgroup", options="rw,memory", folder="memory")
        self.machine.inside("9:cpu:/", "4:memory:/job", "0::/")
        self.machine.v1(root, 500 * MIB, BOUNDLESS)
        self.machine.v1(root / "job", 100 * MIB, 200 * MIB)
        self.assertEqual(self.read(), Reading(90 * MIB, 200 * MIB, f"control group {root / 'job'}"))

    def test_in_a_container(self) -> None:
        """Its own group is the root of what it sees, though it is told the path that the host sees."""
        root = self.machine.mount("/docker/abc", "cgroup", "rw,memory")
        self.machine.inside("4:memory:/docker/abc")
        self.machine.v1(root, 100, 1000)
        self.assertEqual(self.read(), Reading(90, 1000, f"control group {root}"))

    def test_a_path_that_is_not_there(self) -> None:
        """Nor beneath what is mounted: the root of that is all that can be seen."""
        for root, path in (("/docker/abc", "/elsewhere"), ("/", "/gone"), ("/", "/../..")):
            machine = Machine(self)
            mounted = machine.mount(root, folder="a b")
            machine.inside(f"0::{path}")
            machine.v2(mounted, 1, "10")
            groups = ControlGroups(str(machine.proc))
            self.assertTrue(groups.open())
            self.assertEqual(groups.read(), Reading(1, 10, f"control group {mounted}"))
            groups.close()

    def test_none(self) -> None:
        """Without groups, a limit, or a kernel that tells, there is nothing to watch, and nothing is open."""
        before = len(os.listdir("/proc/self/fd"))
        self.assertFalse(self.groups.open())
        root = self.machine.mount()
        self.assertFalse(self.groups.open())
        self.machine.inside("0::/a")
        self.machine.v2(root / "a", 1, "max")
        self.assertFalse(self.groups.open())
        self.assertEqual(repr(self.groups), "<ControlGroups none>")
        self.machine.v2(root / "a", 1, "0")
        self.assertFalse(self.groups.open())
        (root / "a" / "memory.current").write_text("nonsense")
        self.assertFalse(self.groups.open())
        self.groups.close()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_files_that_were_dropped(self) -> None:
        """The counts are not taken in one moment: more may be given up than is used."""
        root = self.machine.mount()
        self.machine.inside("0::/")
        self.machine.v2(root, 10, "100", freed=(10, 1, 0))
        self.assertEqual(self.read(), Reading(0, 100, f"control group {root}"))


class ResidentTests(SynchronousTestCase):
    def test_of_a_limit(self) -> None:
        """What is resident counts, of the limit that was set."""
        machine = Machine(self)
        (machine.proc / "statm").write_text("500 40 10 1 0 300 0\n")
        resident = Resident(100 * PAGE, str(machine.proc))
        self.assertTrue(resident.open())
        self.assertEqual(resident.read(), Reading(40 * PAGE, 100 * PAGE, "memory_limit"))
        (machine.proc / "statm").write_text("")
        self.assertIsNone(resident.read())
        resident.close()
        self.assertFalse(Resident(1, "/nowhere").open())
        self.assertEqual(repr(resident), f"<Resident limit={100 * PAGE}>")

    def test_of_this_process(self) -> None:
        """It is what the kernel says elsewhere."""
        resident = gauge(2**40)
        self.assertTrue(resident.open())
        reading = resident.read()
        assert reading is not None
        (line,) = (
            line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:")
        )
        self.assertAlmostEqual(reading.used / (int(line.split()[1]) * 1024), 1, delta=0.1)
        resident.close()

    def test_most(self) -> None:
        """This machine has memory, and no group is told to have more."""
        found = most()
        assert found is not None
        self.assertTrue(0 < found <= os.sysconf("SC_PHYS_PAGES") * PAGE)
        self.assertIsInstance(gauge(0), ControlGroups)
