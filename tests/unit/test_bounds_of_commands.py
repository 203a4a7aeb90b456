"""Small inputs that ask for hours or gigabytes, given to the whole command with little memory and a
deadline.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.unit.test_bounds import BOMB

HEAD = (
    "apiVersion: gitmesh.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: {name}}}\nspec:\n  destinations:"
    " [{{name: reviews}}]\n"
)
FACTS = """\
apiVersion: gitmesh.io/v1alpha1
kind: Facts
clusters:
- name: east
  namespaces: {default: {}}
  services:
  - namespace: default
    name: reviews
    selector: {app: reviews}
    ports: [{number: 80, name: http, protocol: http, target: 80}]
  workloads: [{namespace: default, name: reviews, kind: Deployment, labels: {app: reviews}, mesh: istio}]
  meshes:
  - translator: istio
    name: istio
    namespace: istio-system
    rootNamespace: istio-system
    trustDomain: cluster.local
"""


def matches(count: int, item: Callable[[int], str]) -> str:
    return (
        HEAD.format(name="p")
        + "  timeout: 1s\n  matches:\n"
        + "".join(f"  - {item(n)}\n" for n in range(count))
    )


def policies(count: int, body: Callable[[int], str]) -> list[str]:
    """A hundred to a file."""
    every = [HEAD.format(name=f"p{n}") + body(n) for n in range(count)]
    return ["---\n".join(every[n : n + 100]) for n in range(0, count, 100)]


SET = "  headers: {request: {set: {y%d: a}}}\n"
TARGET = "  - {destination: {name: reviews, subset: {v: v%d}}}\n"
PATHS = matches(900, lambda n: f"{{path: {{exact: /{n}}}}}")
READ = r"[\pL\PL]"
INPUTS: Mapping[str, list[str]] = {
    "8.6 KB of classes": [matches(230, lambda n: f"{{path: {{regex: '[\\pL\\pN]{{{n + 100}}}'}}}}")],
    "250 KiB of expressions": [matches(8000, lambda n: f"{{path: {{regex: '/{n}\\pL'}}}}")],
    "classes that cost only to read": [matches(900, lambda n: f"{{path: {{regex: '/{n}(?i){READ * 27}'}}}}")],
    "overlaps": policies(
        250, lambda n: f"  matches: [{{headers: [{{name: x{n}, present: true}}]}}]\n" + SET % n
    ),
    "prefixes of prefixes": policies(
        250, lambda n: f"  priority: {n}\n  matches: [{{path: {{stringPrefix: /{'a' * n}}}}}]\n" + SET % n
    ),
    "conflicts": policies(2000, lambda n: f"  timeout: {n + 1}s\n"),
    "paths of one policy": [matches(2400, lambda n: f"{{path: {{exact: /{n}}}}}")],
    "matches times sources": [
        PATHS + "  sources:\n" + "".join(f"  - {{namespaces: [n{n}]}}\n" for n in range(1000))
    ],
    "rows times targets": [
        PATHS.replace("  timeout: 1s\n", "  split:\n" + "".join(TARGET % n for n in range(2500)))
    ],
    "inverted headers of one name": [
        HEAD.format(name="p")
        + "  timeout: 1s\n  matches:\n  - headers:\n"
        + "".join(f"    - {{name: x, exact: a{n}, invert: true}}\n" for n in range(5000))
    ],
    "errors": [matches(14_000, lambda _: "{a: 1, b: 2}")],
    "unknown fields": [HEAD.format(name="p") + "".join(f"  a{n}: 1\n" for n in range(18_000))],
}

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
from gitmesh.cli.main import main
sys.argv = ["gitmesh", "validate", sys.argv[1], "--facts", sys.argv[2]]
main()
"""


def limited(policies: Path, facts: Path) -> tuple[int, str]:
    """Exit code and all output of `gitmesh validate` with 400 MB of address space and 10 s of processor
    time.
    """
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, policies, facts],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", INPUTS)
def test_a_small_input_is_refused_with_little_time_and_memory(name: str, tmp_path: Path) -> None:
    (tmp_path / "facts.yaml").write_text(FACTS)
    (tmp_path / "policies").mkdir()
    for number, text in enumerate(INPUTS[name]):
        assert len(text) <= 256 * 1024
        (tmp_path / "policies" / f"{number}.yaml").write_text(text)
    code, out = limited(tmp_path / "policies", tmp_path / "facts.yaml")
    assert code == 2, out[-2000:]
    assert "error GM" in out


def test_aliases_in_facts_are_refused_with_little_memory(tmp_path: Path) -> None:
    (tmp_path / "facts.yaml").write_text(BOMB)
    (tmp_path / "a.yaml").write_text(HEAD.format(name="p") + "  timeout: 1s\n")
    code, out = limited(tmp_path / "a.yaml", tmp_path / "facts.yaml")
    assert code == 3
    assert "cannot read facts" in out
    assert "more than 200,000 nodes" in out
