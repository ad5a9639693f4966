"""The deploys' templates: jinja2, where a name that isn't given is an error."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel

HERE = Path(__file__).resolve().parent


def render(deploy: str, template: str, settings: BaseModel, **more: object) -> str:
    """Return `templates/<template>` of a deploy filled with its settings' fields and `more`."""
    environment = Environment(
        loader=FileSystemLoader(HERE / deploy / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return environment.get_template(template).render(**values, **more)
