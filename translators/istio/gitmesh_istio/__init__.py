"""Istio, with sidecars and ambient: everything that GitMesh knows of this mesh. The module itself is the
translator (gitmesh.ports.Translator).
"""

from gitmesh_istio.beside import beside, guarded
from gitmesh_istio.client_tls import client_tls
from gitmesh_istio.detect import HOMES as homes  # noqa: N811 - the port's name is in lower case
from gitmesh_istio.detect import NAMING as naming  # noqa: N811 - the port's name is in lower case
from gitmesh_istio.detect import configmaps, configured_by, detect, injects
from gitmesh_istio.effects import inert
from gitmesh_istio.foreign import foreign
from gitmesh_istio.kinds import OPT_OUT_KEYS as opt_out_keys  # noqa: N811 - the port's name is in lower case
from gitmesh_istio.kinds import WRITTEN as resources  # noqa: N811 - the port's name is in lower case
from gitmesh_istio.kinds import writes
from gitmesh_istio.links import links
from gitmesh_istio.membership import member
from gitmesh_istio.narrowing import narrowed, retain
from gitmesh_istio.overrides import surroundings
from gitmesh_istio.strangers import reduced
from gitmesh_istio.support import AMBIENT
from gitmesh_istio.support import SUPPORTS as supports  # noqa: N811 - the port's name is in lower case
from gitmesh_istio.transitions import between, decides, effect
from gitmesh_istio.translate import translate
from gitmesh_istio.verdict import verdict

name = "istio"
other_planes = {"ambient": AMBIENT}

__all__ = [
    "beside",
    "between",
    "client_tls",
    "configmaps",
    "configured_by",
    "decides",
    "detect",
    "effect",
    "foreign",
    "homes",
    "inert",
    "injects",
    "links",
    "member",
    "name",
    "naming",
    "narrowed",
    "reduced",
    "resources",
    "guarded",
    "retain",
    "supports",
    "surroundings",
    "opt_out_keys",
    "other_planes",
    "translate",
    "verdict",
    "writes",
]
