"""A triage agent: reads new issues on GitHub, labels them, and says so in a comment.

    export GITHUB_TOKEN=github_pat_… TRIAGE_LOGIN='your-app[bot]'    # as whom the token acts
    gateway worker examples.triage_agent:worker
    gateway send github issues.opened                 # from another terminal, to try it

Whoever sets the label `triage` asks for a second look. Other labels that people set are theirs, and stay.
"""

import os
from typing import Any

import httpx

from gateway.worker import Dead, Event, Retry, Worker

API = os.environ.get("GITHUB_API_URL", "https://api.github.com")
TOKEN, LOGIN = os.environ["GITHUB_TOKEN"], os.environ["TRIAGE_LOGIN"]
HINTS = {
    "bug": ("crash", "error", "traceback"),
    "documentation": ("docs", "readme", "typo"),
    "question": ("how do i", "how to", "is it possible"),
}

worker = Worker(queue="triage-agent", events=["github.issues.opened", "github.issues.labeled"], timeout=300)


@worker.on("github.issues.opened", "github.issues.labeled")
async def triage(event: Event) -> None:
    """Label an issue that is new, or of which somebody asks it."""
    # What we do on GitHub comes back as an event. An agent that answers itself never ends.
    if event.actor == LOGIN:
        return
    if event.data["action"] == "labeled" and event.data["label"]["name"] != "triage":
        return
    # The address is made here and not taken from the event: the token goes where we say.
    issue = f"/repos/{event.data['repository']['full_name']}/issues/{event.data['issue']['number']}"
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/vnd.github+json"}
    async with httpx.AsyncClient(base_url=API, headers=headers, timeout=30) as github:
        # As it is now: since the event it may have been edited, or the event have waited.
        labels = await choose_labels(await ask(github, "GET", issue))
        if not labels:
            return
        # To add a label that is there changes nothing, so this may be done again without a guard.
        await ask(github, "POST", f"{issue}/labels", {"labels": labels})
        # A second comment would be seen, and GitHub takes no idempotency key: what is left is the instant between
        # the comment and the mark. Who cannot live with it looks for the comment first.
        async with event.once("comment") as first:
            if first:
                text = f"Labelled {', '.join(labels)} by a program. If that is wrong, label it `triage`."
                await ask(github, "POST", f"{issue}/comments", {"body": text})


async def choose_labels(issue: dict[str, Any]) -> list[str]:
    """The labels that an issue deserves. These are rules of thumb: put a call of your own model here.

    The text is a stranger's, and may talk to a model. Whatever it says, what comes out are labels of ours.
    """
    text = f"{issue['title']}\n{issue['body'] or ''}".lower()
    return [label for label, hints in HINTS.items() if any(hint in text for hint in hints)]


async def ask(github: httpx.AsyncClient, method: str, path: str, content: object = None) -> Any:
    """What GitHub answers; what it refuses becomes what shall be done about it."""
    answer = await github.request(method, path, json=content)
    if answer.status_code in {404, 410}:
        raise Dead("the issue is not there: it was deleted or moved, or the token may not see it")
    if answer.status_code in {403, 429} and "Retry-After" in answer.headers:
        raise Retry(after=float(answer.headers["Retry-After"]))  # GitHub's are always seconds
    return answer.raise_for_status().json()
