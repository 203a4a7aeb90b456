"""A validating webhook of a few lines: what it says of an object is up to the test."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.serving import LoopbackServer

LOOPBACK = "127.0.0.1"
ISTIO = {"apiGroups": ["networking.istio.io", "security.istio.io"], "apiVersions": ["*"], "resources": ["*"]}


@dataclass
class WebhookWords:
    """The answers: name of an object -> why it is refused, or what it is warned of. All others are allowed in
    silence.
    """

    refusals: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)

    def on(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The response of an AdmissionReview."""
        name = str(request["name"])
        answer: dict[str, Any] = {"uid": request["uid"], "allowed": name not in self.refusals}
        if name in self.refusals:
            answer["status"] = {"message": self.refusals[name]}
        if name in self.warnings:
            answer["warnings"] = [self.warnings[name]]
        return answer


class Webhook(LoopbackServer):
    """Serves on a loopback port with the API server's own certificate, which is good for 127.0.0.1; stopped
    when the block ends.
    """

    def __init__(self, certs: Path) -> None:
        """`certs` holds apiserver.crt and apiserver.key."""
        self.words = WebhookWords()
        self._certificate = certs / "apiserver.crt"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, certs / "apiserver.key")
        super().__init__(_handler(self), tls=context)

    def configuration(self, *, policy: str = "Fail") -> dict[str, Any]:
        """The ValidatingWebhookConfiguration under Istio's own names."""
        webhook = {
            "name": "validation.istio.io",
            "clientConfig": {
                "url": f"https://{LOOPBACK}:{self.server_port}/validate",
                "caBundle": base64.b64encode(self._certificate.read_bytes()).decode(),
            },
            "rules": [{**ISTIO, "operations": ["CREATE", "UPDATE"]}],
            "failurePolicy": policy,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
        }
        head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
        return {**head, "metadata": {"name": "istiod-default-validator"}, "webhooks": [webhook]}


def _handler(webhook: Webhook) -> type[BaseHTTPRequestHandler]:
    class WebhookHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            head = {"apiVersion": review["apiVersion"], "kind": review["kind"]}
            body = json.dumps({**head, "response": webhook.words.on(review["request"])}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    return WebhookHandler
