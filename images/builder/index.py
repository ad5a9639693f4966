"""What the store remembers of finished images, by the hash of what they were made from."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from images.builder.oci import Layer


class Indexed(BaseModel):
    """A finished image, with what a preview tells of it: it can be deployed from this alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    variant: str
    digest: str
    image_id: str
    layers: list[Layer]
    layer_keys: list[str] = []
    """Hashes of what its layers were made from, in the same order."""
    lock_sha256: str
    packages: dict[str, str]
    files: dict[str, str]
    sbom: str | None = None
    """Digest of its CycloneDX document; an image from upstream has none."""
    sbom_manifest: str | None = None
    """Digest of the manifest that refers to the image and holds the document."""

    def all_cached(self) -> "Indexed":
        layers = [layer.model_copy(update={"cached": True}) for layer in self.layers]
        return self.model_copy(update={"layers": layers})


def indexed(store: Path, key: str) -> Indexed | None:
    """Return the image made from the inputs with this hash, if this store has made it."""
    try:
        return Indexed.model_validate_json(
            (store / "index" / f"{key}.json").read_text(encoding="utf-8")
        )
    except (FileNotFoundError, ValidationError):  # none, or one that an earlier version wrote
        return None


def everything(store: Path) -> dict[str, Indexed]:
    """Return every finished image of the store by its input hash."""
    keys = sorted(path.stem for path in (store / "index").glob("*.json"))
    return {key: found for key in keys if (found := indexed(store, key))}
