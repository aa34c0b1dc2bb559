"""An agent that goes on where a background response of OpenAI ends: it fetches the answer, and files it as a note.

    export OPENAI_API_KEY=sk-… NOTES_URL=https://crm.example.com/notes
    gateway worker examples.research_agent:worker
    gateway send openai response.completed            # from another terminal, to try it

Before an event gets here, the gateway has verified its signature and dropped its repetitions. The webhook tells that
something happened, and that by an id alone; what happened, the API says, and so it is asked.
"""

import os
from typing import Any
from urllib.parse import quote

import httpx

from gateway.worker import Dead, Event, Retry, Worker

OPENAI = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
# Without it the worker does not even start, rather than fail at every event.
KEY = os.environ["OPENAI_API_KEY"]
NOTES = os.environ["NOTES_URL"]

# A call that hangs would keep its place for ever: httpx ends each after 30 s, the worker all of them after 120 s.
# The limit is for the day when something upstream goes round in circles: it costs no more than that.
worker = Worker(queue="research-agent", events=["openai.response.completed"], timeout=120, limit="60/minute")


@worker.on("openai.response.completed")
async def file_answer(event: Event) -> None:
    """File what the model answered."""
    if event.subject is None:
        raise Dead("the event names no response")
    async with httpx.AsyncClient(timeout=30) as http:
        text = text_of(await fetch(http, event.subject))
        if not text:
            raise Dead("the response has no text")
        async with event.once("note") as first:
            if first:
                note = {"about": event.subject, "text": text}
                # `once` remembers a note that was made, the key lets the other side recognise one of which we
                # cannot know: we may die, or lose the answer, right after it was made.
                headers = {"Idempotency-Key": event.key_of("note")}
                (await http.post(NOTES, json=note, headers=headers)).raise_for_status()


async def fetch(http: httpx.AsyncClient, response_id: str) -> dict[str, Any]:
    """The whole response; what the API refuses becomes what shall be done about it."""
    url = f"{OPENAI}/responses/{quote(response_id, safe='')}"
    answer = await http.get(url, headers={"Authorization": f"Bearer {KEY}"})
    if answer.status_code == 404:
        raise Dead("the response is not there: it was deleted, was not stored, or belongs to another project")
    if answer.status_code == 429:
        asked = answer.headers.get("Retry-After", "")
        # It may also be a date, or not there at all; then the worker's own delays have to do.
        raise Retry(after=float(asked) if asked.isdecimal() else None)
    answer.raise_for_status()  # a 500 passes, a wrong key is put right: later attempts may do better
    response: dict[str, Any] = answer.json()
    return response


def text_of(response: dict[str, Any]) -> str:
    """What the model wrote, without its reasoning and its calls of tools."""
    messages = (item for item in response["output"] if item["type"] == "message")
    parts = (part for message in messages for part in message["content"])
    return "".join(part["text"] for part in parts if part["type"] == "output_text")
