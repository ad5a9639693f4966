"""A site as far as it is valid: what the rules across settings look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stack.schema import Site


@dataclass(frozen=True)
class Draft:
    """A site, possibly with its wrong parts cut out.

    `lost` has the paths of what was cut out: a rule that needs one of them stays silent, so that
    one error never causes another. `names` has the names of all `nodes`, `switches` and `circuits`
    as written, cut out or not.
    """

    site: Site
    lost: frozenset[str] = frozenset()
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, site: Site) -> "Draft":
        """Return the draft of a site that is whole."""
        names = {
            "nodes": frozenset(site.nodes),
            "switches": frozenset(site.switches),
            "circuits": frozenset(site.power.circuits),
        }
        return cls(site, names=names)

    def lacks(self, kind: str, name: str) -> bool:
        """Return whether the site names no such node, switch or circuit."""
        section = "power" if kind == "circuits" else kind
        return section not in self.lost and name not in self.names[kind]

    def has(self, path: str) -> bool:
        """Return whether nothing at, above or below a path was cut out."""
        return not any(
            lost == path or lost.startswith(f"{path}.") or path.startswith(f"{lost}.")
            for lost in self.lost
        )
