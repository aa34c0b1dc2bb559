"""Typed events of github, BranchProtectionConfigurationEvent to InstallationEvent: made from schemas/github/ by ``make models``. Do not edit."""

from typing import Any

from gateway.worker.models.envelopes import GitHubEvent, Model


class BranchProtectionConfigurationEvent(GitHubEvent):
    """All branch protections of a repository were switched on or off."""

    action: str


class BranchProtectionRuleEvent(GitHubEvent):
    """A rule that protects branches was created, changed or deleted."""

    action: str

    class Rule(Model):
        """The value of ``rule``."""

        id: int | None = None
        name: str | None = None

    rule: Rule


class CheckRunEvent(GitHubEvent):
    """A single check of a commit was started, finished or asked for again."""

    action: str

    class CheckRun(Model):
        """The value of ``check_run``."""

        id: int | None = None
        name: str | None = None
        head_sha: str | None = None
        status: str | None = None
        conclusion: str | None = None

    check_run: CheckRun


class CheckSuiteEvent(GitHubEvent):
    """The set of checks of one app for a commit was asked for or finished."""

    action: str

    class CheckSuite(Model):
        """The value of ``check_suite``."""

        id: int | None = None
        head_sha: str | None = None
        head_branch: str | None = None
        status: str | None = None
        conclusion: str | None = None

    check_suite: CheckSuite


class CodeScanningAlertEvent(GitHubEvent):
    """Code scanning found a problem, or a problem that it had found was fixed, closed or reopened."""

    action: str

    class Alert(Model):
        """The value of ``alert``."""

        number: int | None = None
        state: str | None = None

        class Rule(Model):
            """The value of ``rule``."""

            id: str | None = None
            severity: str | None = None

        rule: Rule | None = None

    alert: Alert
    ref: str | None = None
    commit_oid: str | None = None


class CommitCommentEvent(GitHubEvent):
    """A comment was made on a commit."""

    action: str

    class Comment(Model):
        """The value of ``comment``."""

        id: int | None = None
        body: str | None = None
        commit_id: str | None = None

    comment: Comment


class CreateEvent(GitHubEvent):
    """A branch or a tag was created."""

    ref: str | None = None
    ref_type: str | None = None


class CustomPropertyEvent(GitHubEvent):
    """A property that an organization or an enterprise gives its repositories was defined, changed or dropped."""

    action: str

    class Definition(Model):
        """The value of ``definition``."""

        property_name: str | None = None
        value_type: str | None = None

    definition: Definition


class CustomPropertyValuesEvent(GitHubEvent):
    """Custom properties of a repository got other values."""

    action: str

    class NewPropertyValues(Model):
        """The value of ``new_property_values``."""

        property_name: str | None = None

    new_property_values: list[NewPropertyValues] | None = None

    class OldPropertyValues(Model):
        """The value of ``old_property_values``."""

        property_name: str | None = None

    old_property_values: list[OldPropertyValues] | None = None


class DeleteEvent(GitHubEvent):
    """A branch or a tag was deleted."""

    ref: str | None = None
    ref_type: str | None = None


class DependabotAlertEvent(GitHubEvent):
    """A dependency of the repository is vulnerable, or an alert about one was dismissed, fixed or reopened."""

    action: str

    class Alert(Model):
        """The value of ``alert``."""

        number: int | None = None
        state: str | None = None

        class SecurityAdvisory(Model):
            """The value of ``security_advisory``."""

            ghsa_id: str | None = None
            severity: str | None = None

        security_advisory: SecurityAdvisory | None = None

        class Dependency(Model):
            """The value of ``dependency``."""

            class Package(Model):
                """The value of ``package``."""

                name: str | None = None
                ecosystem: str | None = None

            package: Package | None = None

        dependency: Dependency | None = None

    alert: Alert


class DeployKeyEvent(GitHubEvent):
    """A key for deployments was added to the repository or removed from it."""

    action: str

    class Key(Model):
        """The value of ``key``."""

        id: int | None = None
        read_only: bool | None = None

    key: Key


class DeploymentEvent(GitHubEvent):
    """A deployment was asked for."""

    action: str | None = None

    class Deployment(Model):
        """The value of ``deployment``."""

        id: int | None = None
        sha: str | None = None
        ref: str | None = None
        environment: str | None = None

    deployment: Deployment


class DeploymentProtectionRuleEvent(GitHubEvent):
    """A deployment waits for an app that guards the environment."""

    action: str
    environment: str | None = None
    event: str | None = None
    deployment_callback_url: str | None = None

    class Deployment(Model):
        """The value of ``deployment``."""

        id: int | None = None

    deployment: Deployment | None = None


class DeploymentReviewEvent(GitHubEvent):
    """A deployment waits for a review, or was approved or rejected."""

    action: str

    class WorkflowRun(Model):
        """The value of ``workflow_run``."""

        id: int | None = None
        head_sha: str | None = None

    workflow_run: WorkflowRun
    environment: str | None = None
    requestor: dict[str, Any] | None = None
    approver: dict[str, Any] | None = None
    reviewers: list[Any] | None = None


class DeploymentStatusEvent(GitHubEvent):
    """A deployment moved on."""

    action: str | None = None

    class DeploymentStatus(Model):
        """The value of ``deployment_status``."""

        id: int | None = None
        state: str | None = None

    deployment_status: DeploymentStatus

    class Deployment(Model):
        """The value of ``deployment``."""

        id: int | None = None

    deployment: Deployment


class DiscussionCommentEvent(GitHubEvent):
    """A comment was made on a discussion, edited or deleted."""

    action: str

    class Comment(Model):
        """The value of ``comment``."""

        id: int | None = None
        body: str | None = None

    comment: Comment

    class Discussion(Model):
        """The value of ``discussion``."""

        id: int | None = None
        number: int | None = None
        title: str | None = None

    discussion: Discussion


class DiscussionEvent(GitHubEvent):
    """Something happened to a discussion."""

    action: str

    class Discussion(Model):
        """The value of ``discussion``."""

        id: int | None = None
        number: int | None = None
        title: str | None = None

    discussion: Discussion


class ForkEvent(GitHubEvent):
    """The repository was forked."""

    class Forkee(Model):
        """The value of ``forkee``."""

        id: int | None = None
        full_name: str | None = None

    forkee: Forkee


class GithubAppAuthorizationEvent(GitHubEvent):
    """A user took back the right of a GitHub App to act for them."""

    action: str


class GollumEvent(GitHubEvent):
    """Pages of the wiki were created or edited."""

    class Pages(Model):
        """The value of ``pages``."""

        action: str | None = None
        page_name: str | None = None
        sha: str | None = None

    pages: list[Pages] | None = None


class InstallationEvent(GitHubEvent):
    """A GitHub App was installed, removed, suspended or given new permissions."""

    action: str

    class Installation(GitHubEvent.Installation):
        """The value of ``installation``."""

        id: int | None = None
        account: dict[str, Any] | None = None
        app_id: int | None = None

    installation: Installation | None = None
    repositories: list[Any] | None = None
