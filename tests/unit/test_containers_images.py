from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from docker.errors import ImageNotFound

from remote.connection import Connection
from remote.container_images import fetch
from remote.container_spec import ContainerSpec, Registry
from remote.errors import RackformError

if TYPE_CHECKING:
    import docker

NODE = Connection(
    name="w1", address="192.0.2.1", private_key_file=Path("/key"), host_key="ssh-ed25519 AAAA"
)
IMAGE_ID = "sha256:" + "a" * 64
SPEC = ContainerSpec(
    name="edge",
    image="10.77.0.11:5000/edge@sha256:" + "1" * 64,
    image_id=IMAGE_ID,
    command=[],
    registry=Registry(address="10.77.0.11:5000", ca_certificate="", user="u", password="pw"),  # noqa: S106
)


class Engine:
    def __init__(self, said: list[dict[str, str]], brings: str | None = IMAGE_ID) -> None:
        self.said, self.brings = said, brings
        self.present: set[str] = set()
        self.asked: list[object] = []

    @property
    def api(self) -> "Engine":
        return self

    def inspect_image(self, image_id: str) -> None:
        if image_id not in self.present:
            raise ImageNotFound("no such image")

    def pull(self, repository: str, **options: object) -> Iterator[dict[str, str]]:
        self.asked.append((repository, options["tag"], options["auth_config"]))
        yield from self.said
        self.present |= {self.brings} if self.brings else set()

    def load_image(self, chunks: Iterator[bytes]) -> Iterator[dict[str, str]]:
        self.asked.append(b"".join(chunks))
        yield from self.said
        self.present |= {self.brings} if self.brings else set()


def run(engine: Engine, archive: list[bytes] | None = None, spec: ContainerSpec = SPEC) -> None:
    load = (lambda: iter(archive)) if archive is not None else None
    fetch(cast("docker.DockerClient", engine), NODE, spec, load, lambda _: None)


def test_an_image_that_is_there_is_neither_pulled_nor_loaded() -> None:
    engine = Engine([])
    engine.present.add(IMAGE_ID)
    run(engine)
    assert engine.asked == []


def test_an_image_is_pulled_by_digest_with_the_login_in_the_request() -> None:
    engine = Engine([{"id": "l1", "status": "Pull complete"}])
    run(engine)
    login = {"username": "u", "password": "pw"}
    assert engine.asked == [("10.77.0.11:5000/edge", "sha256:" + "1" * 64, login)]


def test_an_archive_is_loaded_where_one_is_given() -> None:
    engine = Engine([])
    run(engine, [b"one", b"two"])
    assert engine.asked == [b"onetwo"]


def test_another_image_than_declared_is_refused() -> None:
    with pytest.raises(RackformError, match=r"w1: .* holds another image than sha256:aaa"):
        run(Engine([], brings="sha256:" + "b" * 64))


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("x509: certificate signed by unknown authority", "docker_engine with ca_certificate"),
        ("unauthorized: authentication required", "the site's credentials"),
        ("manifest unknown: not found", "push the image"),
        ("write /var/lib: no space left on device", "free space"),
    ],
)
def test_a_refused_pull_names_its_remedy(reason: str, remedy: str) -> None:
    with pytest.raises(RackformError, match=remedy) as error:
        run(Engine([{"error": reason}]))
    assert reason in str(error.value)
    assert "pw" not in str(error.value).split()


def test_an_image_without_a_digest_is_refused() -> None:
    with pytest.raises(RackformError, match="is not pinned: name it by digest"):
        run(Engine([]), spec=SPEC.model_copy(update={"image": "redis:latest"}))
