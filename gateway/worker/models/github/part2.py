"""Typed events of github, InstallationRepositoriesEvent to PublicEvent: made from schemas/github/ by ``make models``. Do not edit."""

from typing import Any

from gateway.worker.models.envelopes import GitHubEvent, Model


class InstallationRepositoriesEvent(GitHubEvent):
    """Repositories were added to the installation of a GitHub App or taken from it."""

    action: str
    repository_selection: str | None = None

    class RepositoriesAdded(Model):
        """The value of ``repositories_added``."""

        id: int | None = None
        full_name: str | None = None

    repositories_added: list[RepositoriesAdded] | None = None

    class RepositoriesRemoved(Model):
        """The value of ``repositories_removed``."""

        id: int | None = None
        full_name: str | None = None

    repositories_removed: list[RepositoriesRemoved] | None = None


class InstallationTargetEvent(GitHubEvent):
    """The account in which a GitHub App is installed was renamed."""

    action: str

    class Account(Model):
        """The value of ``account``."""

        id: int | None = None
        login: str | None = None

    account: Account
    changes: dict[str, Any] | None = None
    target_type: str | None = None


class IssueCommentEvent(GitHubEvent):
    """A comment was made on an issue or a pull request, edited or deleted."""

    action: str

    class Issue(Model):
        """The value of ``issue``."""

        id: int | None = None
        number: int | None = None
        state: str | None = None
        title: str | None = None

    issue: Issue

    class Comment(Model):
        """The value of ``comment``."""

        id: int | None = None
        body: str | None = None

    comment: Comment


class IssuesEvent(GitHubEvent):
    """Something happened to an issue."""

    action: str

    class Issue(Model):
        """The value of ``issue``."""

        id: int | None = None
        number: int | None = None
        state: str | None = None
        title: str | None = None

    issue: Issue


class LabelEvent(GitHubEvent):
    """A label of the repository was created, edited or deleted."""

    action: str

    class Label(Model):
        """The value of ``label``."""

        id: int | None = None
        name: str | None = None
        color: str | None = None

    label: Label


class MarketplacePurchaseEvent(GitHubEvent):
    """An account bought, changed or cancelled a plan in the Marketplace, or wants to at the end of the period."""

    action: str
    effective_date: str | None = None

    class MarketplacePurchase(Model):
        """The value of ``marketplace_purchase``."""

        class Account(Model):
            """The value of ``account``."""

            login: str | None = None

        account: Account | None = None

        class Plan(Model):
            """The value of ``plan``."""

            id: int | None = None

        plan: Plan | None = None

    marketplace_purchase: MarketplacePurchase
    previous_marketplace_purchase: dict[str, Any] | None = None


class MemberEvent(GitHubEvent):
    """A collaborator was added to the repository, changed or removed."""

    action: str

    class Member(Model):
        """The value of ``member``."""

        id: int | None = None
        login: str | None = None

    member: Member


class MembershipEvent(GitHubEvent):
    """Somebody was added to a team or removed from it."""

    action: str

    class Member(Model):
        """The value of ``member``."""

        id: int | None = None
        login: str | None = None

    member: Member

    class Team(Model):
        """The value of ``team``."""

        id: int | None = None
        slug: str | None = None

    team: Team
    scope: str | None = None


class MergeGroupEvent(GitHubEvent):
    """The merge queue wants checks for a group of pull requests, or gave the group up."""

    action: str

    class MergeGroup(Model):
        """The value of ``merge_group``."""

        head_sha: str | None = None
        head_ref: str | None = None
        base_ref: str | None = None

    merge_group: MergeGroup
    reason: str | None = None


class MetaEvent(GitHubEvent):
    """The webhook itself was deleted."""

    action: str
    hook_id: int | None = None

    class Hook(Model):
        """The value of ``hook``."""

        id: int | None = None

    hook: Hook


class MilestoneEvent(GitHubEvent):
    """A milestone was created, opened, edited, closed or deleted."""

    action: str

    class Milestone(Model):
        """The value of ``milestone``."""

        id: int | None = None
        number: int | None = None
        state: str | None = None
        due_on: str | None = None

    milestone: Milestone


class OrgBlockEvent(GitHubEvent):
    """An organization blocked a user or lifted the block."""

    action: str

    class BlockedUser(Model):
        """The value of ``blocked_user``."""

        login: str | None = None
        id: int | None = None

    blocked_user: BlockedUser


class OrganizationEvent(GitHubEvent):
    """An organization was renamed or deleted, or its members changed."""

    action: str

    class Organization(GitHubEvent.Organization):
        """The value of ``organization``."""

        login: str | None = None
        id: int | None = None

    organization: Organization | None = None
    membership: dict[str, Any] | None = None
    invitation: dict[str, Any] | None = None


class PackageEvent(GitHubEvent):
    """A package, or a new version of it, was published or updated."""

    action: str

    class Package(Model):
        """The value of ``package``."""

        id: int | None = None
        name: str | None = None
        ecosystem: str | None = None
        package_version: dict[str, Any] | None = None

    package: Package


class PageBuildEvent(GitHubEvent):
    """A build of the GitHub Pages site ended, well or not."""

    id: int | None = None

    class Build(Model):
        """The value of ``build``."""

        status: str | None = None
        commit: str | None = None

    build: Build


class PingEvent(GitHubEvent):
    """GitHub tries out a new hook."""

    zen: str | None = None
    hook_id: int | None = None

    class Hook(Model):
        """The value of ``hook``."""

        id: int | None = None

    hook: Hook


class ProjectCardEvent(GitHubEvent):
    """A card of a classic project board was created, edited, moved, deleted or made into an issue."""

    action: str

    class ProjectCard(Model):
        """The value of ``project_card``."""

        id: int | None = None
        column_id: int | None = None
        note: str | None = None

    project_card: ProjectCard


class ProjectColumnEvent(GitHubEvent):
    """A column of a classic project board was created, edited, moved or deleted."""

    action: str

    class ProjectColumn(Model):
        """The value of ``project_column``."""

        id: int | None = None
        name: str | None = None

    project_column: ProjectColumn


class ProjectEvent(GitHubEvent):
    """A classic project board was created, edited, closed, reopened or deleted."""

    action: str

    class Project(Model):
        """The value of ``project``."""

        id: int | None = None
        number: int | None = None
        state: str | None = None

    project: Project


class ProjectsV2ItemEvent(GitHubEvent):
    """An item of a project of an organization was added, changed, moved, archived or deleted."""

    action: str

    class ProjectsV2Item(Model):
        """The value of ``projects_v2_item``."""

        id: int | None = None
        content_type: str | None = None
        project_node_id: str | None = None

    projects_v2_item: ProjectsV2Item


class PublicEvent(GitHubEvent):
    """A private repository was made public."""
