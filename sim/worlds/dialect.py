"""How clients speak to a broker: the paths of its API, and what they show to be let in; the contract's unless told.

Bodies and answers are the contract's (§2) for every broker: a path can be moved, a field cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sim.adapter.model import CONTRACT_PATHS
from sim.history import Json


@dataclass(slots=True)
class Dialect:
    """`headers` go with every request; `tokens` are bearer tokens by the name of the workspace that was given one,
    in `token_field` of the answer to its registration. A duration in a request is told in real seconds, of which
    `time_scale` of the scenario make one.
    """

    paths: Mapping[str, str] = field(default_factory=lambda: CONTRACT_PATHS)
    headers: Mapping[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    token_field: str = "auth_token"
    time_scale: float = 1.0

    def path(self, action: str, *, workspace: str = "", delegation: str = "", query: str = "") -> str:
        """Where to ask for `action`, with ids in their places. `query` is appended."""
        path = self.paths[action].replace("{workspace}", workspace).replace("{delegation}", delegation)
        return f"{path}{'&' if '?' in path else '?'}{query}" if query else path

    def shown_by(self, workspace: str) -> Mapping[str, str]:
        """The headers with which a workspace (a name) is let in; its own token goes before everybody's."""
        token = self.tokens.get(workspace)
        return self.headers if token is None else {**self.headers, "Authorization": f"Bearer {token}"}

    def learn_token(self, workspace: str, answer: Json) -> None:
        """Keep the token that the answer to a registration may bring."""
        if isinstance(token := field_of(answer, self.token_field), str):
            self.tokens[workspace] = token


def field_of(answer: Json, path: str) -> Json:
    """The value at a path of keys, joined by dots; None if there is none."""
    for key in path.split("."):
        answer = answer.get(key) if isinstance(answer, dict) else None
    return answer
