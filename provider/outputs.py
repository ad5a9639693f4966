"""The outputs of every resource: what the provider returns and components pass on."""

from pydantic import BaseModel, ConfigDict, Field

from remote.connection import Connection


class Outputs(BaseModel):
    """`pending`: what `read` found to be different from what was declared, in words.

    `revision` is set by the adapter: new after every create and update.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pending: list[str] = []
    revision: str = ""


class LabSwitchOutputs(Outputs):
    connection: Connection
    namespace: str


class LabNodeOutputs(Outputs):
    connection: Connection
    machine: str = Field(description="which installation this is: another starts from nothing")


class SwitchConfigOutputs(Outputs):
    pass


class HostStateOutputs(Outputs):
    reboot: str = Field(
        default="",
        description="id of the boot that had to end when a reboot was last due; empty if never",
    )


class OciImageOutputs(Outputs):
    digest: str = Field(description="sha256:… of the manifest")
    image_id: str = Field(description="sha256:… of the configuration")
    reference: str = Field(description="what a node pulls: registry/name@digest")
    size_bytes: int
    input_hash: str = Field(default="", description="its key in the store's index")


class ImagePullOutputs(Outputs):
    pass


class ModelWeightsOutputs(Outputs):
    path: str = Field(description="folder on the nodes")
    files: dict[str, str] = Field(description="name → sha256")
    size_bytes: int


class ContainerOutputs(Outputs):
    container_id: str


class ServeApplicationOutputs(Outputs):
    status: str
    probe_answer: str = Field(description="the text of the readiness prompt's answer")


class Certificate(BaseModel):
    """A certificate and its private key, both PEM."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: str
    key: str


class CredentialsOutputs(Outputs):
    ca_certificate: str
    ca_key: str
    certificates: dict[str, Certificate]
    tokens: dict[str, str]
