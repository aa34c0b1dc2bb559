"""Typed events of github, PullRequestEvent to WorkflowRunEvent: made from schemas/github/ by ``make models``. Do not edit."""

from typing import Any

from gateway.worker.models.envelopes import GitHubEvent, Model


class PullRequestEvent(GitHubEvent):
    """Something happened to a pull request."""

    action: str
    number: int | None = None

    class PullRequest(Model):
        """The value of ``pull_request``."""

        id: int | None = None
        number: int | None = None
        state: str | None = None
        title: str | None = None

        class Head(Model):
            """The value of ``head``."""

            ref: str | None = None
            sha: str | None = None

        head: Head | None = None

        class Base(Model):
            """The value of ``base``."""

            ref: str | None = None
            sha: str | None = None

        base: Base | None = None
        draft: bool | None = None
        merged: bool | None = None

    pull_request: PullRequest


class PullRequestReviewCommentEvent(GitHubEvent):
    """A comment was made on the diff of a pull request, edited or deleted."""

    action: str

    class Comment(Model):
        """The value of ``comment``."""

        id: int | None = None
        body: str | None = None
        path: str | None = None

    comment: Comment

    class PullRequest(Model):
        """The value of ``pull_request``."""

        id: int | None = None
        number: int | None = None

    pull_request: PullRequest


class PullRequestReviewEvent(GitHubEvent):
    """A review of a pull request was submitted, edited or dismissed."""

    action: str

    class Review(Model):
        """The value of ``review``."""

        id: int | None = None
        state: str | None = None
        body: str | None = None

    review: Review

    class PullRequest(Model):
        """The value of ``pull_request``."""

        id: int | None = None
        number: int | None = None

    pull_request: PullRequest


class PullRequestReviewThreadEvent(GitHubEvent):
    """A thread of comments in a review of a pull request was resolved, or opened again."""

    action: str

    class PullRequest(Model):
        """The value of ``pull_request``."""

        id: int | None = None
        number: int | None = None

    pull_request: PullRequest

    class Thread(Model):
        """The value of ``thread``."""

        comments: list[Any] | None = None

    thread: Thread


class PushEvent(GitHubEvent):
    """Commits or a tag were pushed, or a ref was deleted."""

    ref: str | None = None
    before: str | None = None
    after: str | None = None
    created: bool | None = None
    deleted: bool | None = None
    forced: bool | None = None

    class Commits(Model):
        """The value of ``commits``."""

        id: str | None = None
        message: str | None = None

    commits: list[Commits] | None = None
    head_commit: dict[str, Any] | None = None
    pusher: dict[str, Any] | None = None


class RegistryPackageEvent(GitHubEvent):
    """A package, or a new version of it, was published to a registry or updated there."""

    action: str

    class RegistryPackage(Model):
        """The value of ``registry_package``."""

        id: int | None = None
        name: str | None = None
        ecosystem: str | None = None
        package_version: dict[str, Any] | None = None

    registry_package: RegistryPackage


class ReleaseEvent(GitHubEvent):
    """A release was drafted, published, changed or deleted."""

    action: str

    class Release(Model):
        """The value of ``release``."""

        id: int | None = None
        tag_name: str | None = None
        name: str | None = None
        draft: bool | None = None
        prerelease: bool | None = None

    release: Release


class RepositoryDispatchEvent(GitHubEvent):
    """Somebody called the API to set off workflows."""

    action: str
    branch: str | None = None
    client_payload: dict[str, Any] | None = None


class RepositoryEvent(GitHubEvent):
    """A repository was created, renamed, archived, deleted or otherwise changed."""

    action: str


class RepositoryImportEvent(GitHubEvent):
    """An import of a repository from elsewhere ended."""

    status: str | None = None


class RepositoryVulnerabilityAlertEvent(GitHubEvent):
    """A dependency of the repository is vulnerable: the older event, which dependabot_alert replaces."""

    action: str

    class Alert(Model):
        """The value of ``alert``."""

        id: int | None = None
        affected_package_name: str | None = None
        severity: str | None = None

    alert: Alert


class SecretScanningAlertEvent(GitHubEvent):
    """A secret was found in the repository, or an alert about one was resolved or reopened."""

    action: str

    class Alert(Model):
        """The value of ``alert``."""

        number: int | None = None
        secret_type: str | None = None
        resolution: str | None = None

    alert: Alert


class SecretScanningAlertLocationEvent(GitHubEvent):
    """A secret that is known to have leaked was found in one more place."""

    action: str

    class Alert(Model):
        """The value of ``alert``."""

        number: int | None = None
        secret_type: str | None = None

    alert: Alert

    class Location(Model):
        """The value of ``location``."""

        type: str | None = None

    location: Location


class SecurityAdvisoryEvent(GitHubEvent):
    """GitHub published, updated or withdrew an advisory on a vulnerability."""

    action: str

    class SecurityAdvisory(Model):
        """The value of ``security_advisory``."""

        ghsa_id: str | None = None
        severity: str | None = None
        cve_id: str | None = None

    security_advisory: SecurityAdvisory


class SponsorshipEvent(GitHubEvent):
    """Somebody began to sponsor an account, changed the tier or ended the sponsorship."""

    action: str

    class Sponsorship(Model):
        """The value of ``sponsorship``."""

        sponsorable: dict[str, Any] | None = None
        sponsor: dict[str, Any] | None = None
        tier: dict[str, Any] | None = None

    sponsorship: Sponsorship
    effective_date: str | None = None


class StarEvent(GitHubEvent):
    """Somebody starred the repository or took the star back."""

    action: str
    starred_at: str | None = None


class StatusEvent(GitHubEvent):
    """The status of a commit changed."""

    id: int | None = None
    sha: str | None = None
    state: str | None = None
    context: str | None = None
    description: str | None = None
    target_url: str | None = None


class TeamAddEvent(GitHubEvent):
    """A team got access to the repository."""

    class Team(Model):
        """The value of ``team``."""

        id: int | None = None
        name: str | None = None
        slug: str | None = None

    team: Team


class TeamEvent(GitHubEvent):
    """A team was created, edited or deleted, or got or lost a repository."""

    action: str

    class Team(Model):
        """The value of ``team``."""

        id: int | None = None
        name: str | None = None
        slug: str | None = None

    team: Team


class WatchEvent(GitHubEvent):
    """Somebody starred the repository: the older event, kept by GitHub under its old name."""

    action: str


class WorkflowDispatchEvent(GitHubEvent):
    """Somebody, or a call of the API, started a workflow."""

    ref: str | None = None
    workflow: str | None = None
    inputs: dict[str, Any] | None = None


class WorkflowJobEvent(GitHubEvent):
    """A job of a workflow run was queued, started or finished."""

    action: str

    class WorkflowJob(Model):
        """The value of ``workflow_job``."""

        id: int | None = None
        run_id: int | None = None
        name: str | None = None
        head_sha: str | None = None
        status: str | None = None
        conclusion: str | None = None

    workflow_job: WorkflowJob


class WorkflowRunEvent(GitHubEvent):
    """A run of a workflow was asked for, started or finished."""

    action: str

    class WorkflowRun(Model):
        """The value of ``workflow_run``."""

        id: int | None = None
        name: str | None = None
        head_sha: str | None = None
        head_branch: str | None = None
        run_number: int | None = None
        status: str | None = None
        conclusion: str | None = None

    workflow_run: WorkflowRun
