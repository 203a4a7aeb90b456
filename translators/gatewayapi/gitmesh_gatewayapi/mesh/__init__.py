"""Any mesh that reads routes of the Gateway API with Services as parents (GAMMA), and has no translator of
its own. The module itself is the translator (gitmesh.ports.Translator).

The Gateway API has no say in who may call whom, nor in connections: this translator routes, and nothing else.
"""

from gitmesh_gatewayapi.mesh.detect import HOMES as homes  # noqa: N811 - the port's name is in lower case
from gitmesh_gatewayapi.mesh.detect import NAMING as naming  # noqa: N811 - the port's name is in lower case
from gitmesh_gatewayapi.mesh.detect import configmaps, configured_by, detect, injects, member
from gitmesh_gatewayapi.mesh.effects import inert
from gitmesh_gatewayapi.mesh.guards import beside, foreign, guarded, narrowed, retain
from gitmesh_gatewayapi.mesh.lifecycle import OPT_OUT_KEYS as opt_out_keys  # noqa: N811 - as above
from gitmesh_gatewayapi.mesh.lifecycle import RESOURCES as resources  # noqa: N811 - as above
from gitmesh_gatewayapi.mesh.lifecycle import between, decides, effect, links, writes
from gitmesh_gatewayapi.mesh.strangers import client_tls, reduced, surroundings
from gitmesh_gatewayapi.mesh.support import OTHER_PLANES as other_planes  # noqa: N811 - as above
from gitmesh_gatewayapi.mesh.support import SUPPORTS as supports  # noqa: N811 - as above
from gitmesh_gatewayapi.mesh.translate import translate
from gitmesh_gatewayapi.mesh.verdict import verdict

name = "gatewayapi"

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
    "guarded",
    "homes",
    "inert",
    "injects",
    "links",
    "member",
    "name",
    "naming",
    "narrowed",
    "opt_out_keys",
    "other_planes",
    "reduced",
    "resources",
    "retain",
    "supports",
    "surroundings",
    "translate",
    "verdict",
    "writes",
]
