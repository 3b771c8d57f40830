"""What the audit of reads costs a cold build, of the CPU time that the build takes.

    python bench/audit.py [--pairs 5] [-- BUILD ARGUMENTS]

Each pair is a cold build with the audit and one without it, in turn, each in a store of its own. The script
prints the median CPU seconds (user + system) of both, the median of the ratio pair by pair, and how much of
one build is spent in the audit itself, which is measured by its own clock. The latter is steadier where other
programs run beside it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
START = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from circuitstore.engine import audit
assert not audit._installed
"""
END = "from circuitstore.command import main; sys.exit(main(sys.argv[1:]))\n"
WITHOUT = START + "audit._installed.append(True)\n" + END
TIMED = """
import atexit, time
spent, calls = [0.0], [0]


def clocked(function):
    def called(*arguments, **named):
        started = time.thread_time()
        try:
            return function(*arguments, **named)
        finally:
            spent[0] += time.thread_time() - started
            calls[0] += 1

    return called


for _ in range(100_000):
    clocked(lambda event, arguments: None)("open", ())
of_the_clock, spent[0], calls[0] = spent[0] / 100_000, 0.0, 0
audit._keep = clocked(audit._keep)
audit._hook = clocked(audit._hook)  # before the first module that computes is imported
from circuitstore.engine import cover, work
work.cover, work.consulted = map(clocked, (cover.cover, cover.consulted))
atexit.register(
    lambda: print(spent[0] - calls[0] * of_the_clock, calls[0], time.process_time(), file=sys.stderr)
)
"""


# The audit passes over frames of its own file to find who reads: the clock's are to be such frames.
CLOCK = f"exec(compile({TIMED!r}, audit.__file__, 'exec'))\n"


def build(program: str, arguments: list[str]) -> tuple[float, str]:
    """CPU seconds of a cold build by this program, and its last line on stderr."""
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-c", program, "build", *arguments, "--store", store]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return spent, done.stderr.decode().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("arguments", nargs="*", default=["attribution", "--behaviour", "plural"])
    options = parser.parse_args()
    _, line = build(START + CLOCK + END, options.arguments)
    seconds, calls, total = map(float, line.split())
    print(
        f"in the audit {seconds:.3f} s of {total:.1f} s, {seconds / total:.2%}, {calls:.0f} calls", flush=True
    )
    pairs = []
    for _ in range(options.pairs):
        pairs.append([build(program, options.arguments)[0] for program in (START + END, WITHOUT)])
        print("with {:.1f} s, without {:.1f} s".format(*pairs[-1]), flush=True)
    audited, plain = zip(*pairs, strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    medians = statistics.median(audited), statistics.median(plain)
    print("median with {:.1f} s, without {:.1f} s".format(*medians), f"ratio {ratio:.3f} (aim: at most 1.02)")


if __name__ == "__main__":
    main()
