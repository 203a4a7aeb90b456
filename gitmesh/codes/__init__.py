"""The one register of finding codes. A code keeps its meaning for ever; retired ones stay listed.

GM1xx parsing, GM2xx model and references, GM3xx translation, GM4xx planning, GM5xx clusters, GM6xx
write-back: a file each. Texts, JSON, `gitmesh explain` and docs/findings.md are all printed from them.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.codes.clusters import CLUSTERS
from gitmesh.codes.code import Code
from gitmesh.codes.meshes import MESHES
from gitmesh.codes.parsing import PARSING
from gitmesh.codes.planning import PLANNING
from gitmesh.codes.policies import POLICIES
from gitmesh.codes.sources import SOURCES
from gitmesh.codes.translation import TRANSLATION

# In the order of the groups: the page of findings lists them as they stand here.
CODES: Mapping[str, Code] = {
    row.code: row
    for rows in (PARSING, POLICIES, TRANSLATION, MESHES, PLANNING, CLUSTERS, SOURCES)
    for row in rows
}
