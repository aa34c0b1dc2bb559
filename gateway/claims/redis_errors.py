"""What the errors of Redis mean to an operator."""

from __future__ import annotations

IS_CLUSTER = "the server is a node of a Redis Cluster; name its nodes in redis.cluster, in place of redis.url"
IS_SENTINEL = "the server is a Redis Sentinel, which keeps no keys; name it in redis.sentinels, with redis.master, in place of redis.url"
CLUSTER_IS_DOWN = "the Redis Cluster takes no commands, because some slots have no primary; start its nodes, or promote their replicas"
_MEANINGS = {
    **dict.fromkeys(("MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN"), IS_CLUSTER),
    "READONLY": "the server is a read-only replica; give the address of its primary",
    "MASTERDOWN": "the server is a replica without its primary; give the address of the primary",
    "LOADING": "the server is still loading its data",
    "MISCONF": "the server cannot save its data, and takes no writes",
    "OOM": "the server's memory is full; raise maxmemory",
    "NOREPLICAS": "the server misses replicas, and takes no writes",
    "NOAUTH": "the server requires a password",
    "WRONGPASS": "user or password is wrong",
    "DENIED": "the server accepts connections from its own machine only; give it a password",
    "BUSY": "the server is busy with a script",
}
"""The meaning and the remedy of an error, by its first word."""


def explain(error: Exception, command: str) -> str:
    """Explain the refusal of ``command``, and what to do, followed by the server's own words.

    Redis quotes the arguments of an unknown command, and a password may be among them: they are cut off.
    """
    words = str(error).partition(", with args")[0]
    kind = words.partition(" ")[0]
    meaning = _MEANINGS.get(kind, "")
    if kind == "NOPERM":
        is_key = " key" in words
        meaning = (
            "the user may not use the keys whgw:*; grant ~whgw:*"
            if is_key
            else f"the user may not {command}; grant +{command.lower().replace(' ', '|')}"
        )
    elif "unknown command" in words.lower():
        meaning = f"the server has no {command}"
    elif command == "AUTH" and "without any password" in words:
        meaning = "the server has no password; leave it out of the address"
    elif "SELECT is not allowed" in words:
        meaning = "the server has no databases; leave out the number at the end of the address"
    elif "DB index is out of range" in words:
        meaning = "the server has no database of that number; correct it at the end of the address"
    elif command == "SET" and "syntax error" in words:
        meaning = "the server does not take SET with NX and GET together; use Redis 7 or newer, or Valkey"
    return f"{meaning} (Redis: {words})" if meaning else words


def explain_other_kind(error: Exception, server: str, command: str) -> str:
    """Explain why ``server`` refused a command that only nodes of a cluster, or only Sentinels, have."""
    words = str(error)
    if "unknown command" in words.lower() or "cluster support disabled" in words:
        kind, setting = (
            ("a node of a Redis Cluster", "redis.cluster")
            if command.startswith("CLUSTER")
            else ("a Redis Sentinel", "redis.sentinels")
        )
        return f"{server} is not {kind}; correct {setting}, or name a single Redis in redis.url"
    return f"{server}: {explain(error, command)}"
