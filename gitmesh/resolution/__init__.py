"""From policies and facts to units: selection, precedence, matching, access. Pure; knows no mesh.

The rooms in the order of things:

1. `index` (facts, found quickly), `membership` (which VirtualMesh has which mesh), `sources` and `selection`
   (whom policies mean, and what they name that is not there); `preparing` does it for all destinations.
2. How requests go, one half of a destination: `slots` (what a policy sets), `rules` (in their order),
   `comparing` (conflicts, shadows, what comparing costs), `laying` (on ports, and where rows lead), `routes`
   (a first-match list), `connections`; `routing` puts them together. `conditions` and `matching` are the
   algebra below.
3. Who may call, the other half: `identities`, `situation` (what the decision depends on), `grants`, `guards`;
   `access` puts them together.
4. `deciding` has both halves of every destination, `finishing` what destinations need of each other, `meshes`
   the units of meshes; `resolve` calls them all. `check` says what one revision alone shows.
"""
