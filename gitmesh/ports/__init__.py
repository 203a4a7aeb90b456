"""The doors between the core and the world. Adapters and plug-ins satisfy them by shape; nothing inherits
from them.

Plug-ins of others import from here, so that where a door stands inside is free to change.
"""

from gitmesh.ports.clusters import Cluster, Fleet
from gitmesh.ports.detection import ControlObjects, Membership, PodFact
from gitmesh.ports.repositories import Forge, Publisher, Source
from gitmesh.ports.translator import Aside, Claim, Translator

__all__ = [
    "Aside",
    "Claim",
    "Cluster",
    "ControlObjects",
    "Fleet",
    "Forge",
    "Membership",
    "PodFact",
    "Publisher",
    "Source",
    "Translator",
]
