"""`make audit`: known vulnerabilities of every locked package, by pip-audit; or a plain word that nobody could be asked.

pip-audit takes a database that does not answer, or does not know any package, for packages that are not there, and is content. Here that is
told: the exit code is 0 (a machine without the internet is no reason to fail), and the last line says how much was not looked at.
"""

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]
LOCKS = [*sorted((PROJECT / "requirements").glob("*.txt")), *sorted((PROJECT / "layers").glob("*/requirements.txt"))]
# Vulnerabilities that are known and accepted: identifier -> why it cannot be reached here.
ACCEPTED: dict[str, str] = {}


def main() -> int:
    """Ask for each lock; 1 if a package has a vulnerability that is not accepted."""
    found: dict[tuple[str, str], list[str]] = {}
    asked: set[tuple[str, str]] = set()
    unknown: set[str] = set()
    command = [
        str(Path(sys.executable).with_name("pip-audit")),
        "--disable-pip",
        "--require-hashes",
        "--format",
        "json",
    ]
    for lock in LOCKS:
        done = subprocess.run([*command, "-r", str(lock)], capture_output=True, text=True, check=False)
        try:
            dependencies = json.loads(done.stdout)["dependencies"]
        except (ValueError, LookupError):
            print(
                f"{lock.relative_to(PROJECT)}: not audited: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}"
            )
            unknown.add(str(lock))
            continue
        for one in dependencies:
            package = (one["name"], one.get("version", ""))
            if "skip_reason" in one:
                unknown.add(one["name"])
            else:
                asked.add(package)
            for vulnerability in one.get("vulns", []):
                names = {vulnerability["id"], *vulnerability.get("aliases", [])}
                if not names & ACCEPTED.keys():
                    found.setdefault(package, []).append(
                        f"{vulnerability['id']}, mended in {vulnerability['fix_versions'] or 'no release'}"
                    )
    for (name, version), vulnerabilities in sorted(found.items()):
        for vulnerability in dict.fromkeys(vulnerabilities):
            print(f"{name} {version}: {vulnerability}")
    if not asked:
        print(
            "pip-audit: NO package was audited: the advisory database does not answer from here. Run `make audit` where it does."
        )
    else:
        print(
            f"pip-audit: {len(asked)} packages audited, {len(found)} with vulnerabilities, {len(unknown)} the database does not know."
        )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
