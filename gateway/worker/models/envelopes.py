"""What the events of one provider have in common."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A part of a payload. Its validator is built when it is first used."""

    model_config = ConfigDict(
        extra="allow", frozen=True, defer_build=True, hide_input_in_errors=True, protected_namespaces=()
    )


ObjectT = TypeVar("ObjectT")


class StripeData(Model, Generic[ObjectT]):
    """The object as it was when the event happened, and the attributes that changed, as they were before."""

    object: ObjectT
    previous_attributes: dict[str, Any] | None = None


class StripeEvent(Model, Generic[ObjectT]):
    """A snapshot event of Stripe about an object, such as ``StripeEvent[Invoice]``."""

    id: str
    type: str
    created: int | None = None
    livemode: bool | None = None
    account: str | None = None
    api_version: str | None = None
    data: StripeData[ObjectT]


class GitHubEvent(Model):
    """What an event of GitHub has if it concerns such a thing."""

    class Sender(Model):
        """Who caused the event."""

        login: str | None = None
        id: int | None = None

    class Repository(Model):
        """Where it happened."""

        id: int | None = None
        name: str | None = None
        full_name: str | None = None

    class Organization(Model):
        """The organization that the repository belongs to, or that the event concerns."""

        login: str | None = None
        id: int | None = None

    class Installation(Model):
        """The installation of the GitHub App that receives the event."""

        id: int | None = None

    action: str | None = None
    sender: Sender | None = None
    repository: Repository | None = None
    organization: Organization | None = None
    installation: Installation | None = None
