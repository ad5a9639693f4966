"""The record of what was there before, read from a host, with what is there now beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyinfra.api.facts import FactBase
from typing_extensions import override

from pyinfra_deploys.operations.before import BEFORE

_MARK = "entry "
_SCRIPT = """
b=%s; cd "$b/entries" 2>/dev/null || exit 0
for e in *; do [ -f "$e" ] || continue
  echo "entry $e"; cat "$e"
  kind=$(sed -n 's/^kind=//p' "$e"); t=$(sed -n 's/^target=//p' "$e")
  case $kind in
  file) if [ -L "$t" ]; then echo now=link; echo "now-link=$(readlink "$t")"
    elif [ -f "$t" ]; then echo now=file
      echo "now-content=$(sha256sum < "$t" | cut -d' ' -f1)"
      stat --printf 'now-mode=%%a\\nnow-owner=%%u\\nnow-group=%%g\\n' "$t"
    else echo now=absent; fi
    if [ -e "$b/written/$e" ]; then echo "written=$(cat "$b/written/$e")"; fi;;
  unit) systemctl show -p LoadState,ActiveState,UnitFileState "$t" | sed 's/^/now-/';;
  package) now='now=${db:Status-Status}\\nnow-version=${Version}\\nnow-want=${db:Status-Want}'
    dpkg-query -W -f "$now"'\\nkib=${Installed-Size}\\n' "$t" 2>/dev/null || echo now=absent;;
  sysctl) f=/proc/sys/$(echo "$t" | tr ./ /.); if [ -r "$f" ]; then echo "now=$(cat "$f")"; fi;;
  esac
done
exit 0
"""


@dataclass(frozen=True)
class Entry:
    """One thing that was changed: fields as they were, and as they are (`now…`)."""

    id: str
    kind: str
    target: str
    order: int
    fields: Mapping[str, str]

    def get(self, field: str) -> str:
        return self.fields.get(field, "")

    @property
    def is_as_before(self) -> bool:
        """Whether a file is already as it was found."""
        alike = ("link", "content", "mode", "owner", "group")
        return self.get("was") == self.get("now") and all(
            self.get(field) == self.get(f"now-{field}") for field in alike
        )

    @property
    def changed_by_hand(self) -> bool:
        """Whether a file is neither as it was found nor as it was written by us."""
        now, written = self.get("now-content"), self.get("written")
        return bool(now and written) and now not in {written, self.get("content")}


class Record(FactBase[list[Entry]]):
    """Every entry, the last change first."""

    @override
    def command(self) -> str:
        return _SCRIPT % BEFORE

    @staticmethod
    @override
    def default() -> list[Entry]:
        return []

    @override
    def process(self, output: list[str]) -> list[Entry]:
        blocks: list[tuple[str, dict[str, str]]] = []
        for line in output:
            if line.startswith(_MARK):
                blocks.append((line.removeprefix(_MARK), {}))
            elif blocks:
                key, _, value = line.partition("=")
                blocks[-1][1][key] = value
        entries = [_entry(name, fields) for name, fields in blocks if fields.get("order")]
        return sorted(entries, key=lambda entry: entry.order, reverse=True)


def _entry(name: str, fields: dict[str, str]) -> Entry:
    return Entry(name, fields["kind"], fields["target"], int(fields["order"]), fields)


def of_kind(entries: Sequence[Entry], *kinds: str) -> list[Entry]:
    return [entry for entry in entries if entry.kind in kinds]
