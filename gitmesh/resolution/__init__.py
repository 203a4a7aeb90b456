"""From policies and facts to units: selection, precedence, matching, access. Pure; knows no mesh."""
