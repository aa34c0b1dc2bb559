"""A triage agent: it reads new issues on GitHub, labels them, and says so in a comment.

    export GITHUB_TOKEN=github_pat_… TRIAGE_LOGIN='your-app[bot]'    # the user that the token acts as
    gateway worker examples.triage_agent:worker
    gateway send github issues.opened                 # from another terminal, to try it

The label `triage` asks for a second look. The agent never removes labels that people have set.
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
    """Label an issue that is new, or that somebody has labelled `triage`."""
    # Our own actions on GitHub come back as events. An agent that answers itself never ends.
    if event.actor == LOGIN:
        return
    if event.data["action"] == "labeled" and event.data["label"]["name"] != "triage":
        return
    # The URL is built here rather than taken from the event, which could send the token elsewhere.
    issue = f"/repos/{event.data['repository']['full_name']}/issues/{event.data['issue']['number']}"
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/vnd.github+json"}
    async with httpx.AsyncClient(base_url=API, headers=headers, timeout=30) as github:
        # Fetched again, because the issue may have changed since the event.
        labels = await choose_labels(await ask(github, "GET", issue))
        if not labels:
            return
        # Adding a label twice changes nothing, so that this step needs no guard.
        await ask(github, "POST", f"{issue}/labels", {"labels": labels})
        # A second comment would be visible, and GitHub takes no idempotency key. A crash between the comment and
        # the mark can still cause one; to rule that out, look for the comment first.
        async with event.once("comment") as first:
            if first:
                text = f"Labelled {', '.join(labels)} by a program. If that is wrong, label it `triage`."
                await ask(github, "POST", f"{issue}/comments", {"body": text})


async def choose_labels(issue: dict[str, Any]) -> list[str]:
    """Choose labels for an issue, by rules of thumb: call your own model here instead.

    The text is untrusted, and may try to instruct a model. Whatever it says, only labels from our list are returned.
    """
    text = f"{issue['title']}\n{issue['body'] or ''}".lower()
    return [label for label, hints in HINTS.items() if any(hint in text for hint in hints)]


async def ask(github: httpx.AsyncClient, method: str, path: str, content: object = None) -> Any:
    """Return GitHub's answer; turn its refusals into Dead or Retry."""
    answer = await github.request(method, path, json=content)
    if answer.status_code in {404, 410}:
        raise Dead("the issue is not there: it was deleted or moved, or the token may not see it")
    if answer.status_code in {403, 429} and "Retry-After" in answer.headers:
        raise Retry(after=float(answer.headers["Retry-After"]))  # GitHub always sends seconds
    return answer.raise_for_status().json()
