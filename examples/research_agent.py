"""An agent that continues when a background response of OpenAI is complete: it files the answer as a note.

    export OPENAI_API_KEY=sk-… NOTES_URL=https://crm.example.com/notes
    gateway worker examples.research_agent:worker
    gateway send openai response.completed            # from another terminal, to try it

Before an event gets here, the gateway has verified its signature and dropped its duplicates. The webhook has only the
id of the response; the API returns what is in it.
"""

import os
from typing import Any
from urllib.parse import quote

import httpx

from gateway.worker import Dead, Event, Retry, Worker

OPENAI = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
# Read here so that without it the worker does not start, rather than fail at every event.
KEY = os.environ["OPENAI_API_KEY"]
NOTES = os.environ["NOTES_URL"]

# A call that hangs would keep its place for ever: httpx ends each after 30 s, the worker all of them after 120 s.
# The limit bounds the cost of a loop upstream that completes responses without end.
worker = Worker(queue="research-agent", events=["openai.response.completed"], timeout=120, limit="60/minute")


@worker.on("openai.response.completed")
async def file_answer(event: Event) -> None:
    """File the model's answer."""
    if event.subject is None:
        raise Dead("the event names no response")
    async with httpx.AsyncClient(timeout=30) as http:
        text = text_of(await fetch(http, event.subject))
        if not text:
            raise Dead("the response has no text")
        async with event.once("note") as first:
            if first:
                note = {"about": event.subject, "text": text}
                # `once` remembers a note that was made. The key lets the other side recognise one that we cannot
                # remember, because this process died or lost the answer right after it was made.
                headers = {"Idempotency-Key": event.key_of("note")}
                (await http.post(NOTES, json=note, headers=headers)).raise_for_status()


async def fetch(http: httpx.AsyncClient, response_id: str) -> dict[str, Any]:
    """Fetch the whole response; turn refusals of the API into Dead or Retry."""
    url = f"{OPENAI}/responses/{quote(response_id, safe='')}"
    answer = await http.get(url, headers={"Authorization": f"Bearer {KEY}"})
    if answer.status_code == 404:
        raise Dead("the response is not there: it was deleted, was not stored, or belongs to another project")
    if answer.status_code == 429:
        asked = answer.headers.get("Retry-After", "")
        # It may also be a date, or be missing; then the worker's own delays apply.
        raise Retry(after=float(asked) if asked.isdecimal() else None)
    answer.raise_for_status()  # a later attempt may succeed: a 500 passes, a wrong key gets corrected
    response: dict[str, Any] = answer.json()
    return response


def text_of(response: dict[str, Any]) -> str:
    """Return the model's text, without its reasoning and tool calls."""
    messages = (item for item in response["output"] if item["type"] == "message")
    parts = (part for message in messages for part in message["content"])
    return "".join(part["text"] for part in parts if part["type"] == "output_text")
