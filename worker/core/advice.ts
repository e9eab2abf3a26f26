/**
 * Tells the operator which key cures a refusal that comes from a proxy in front of the worker: once a kind for each process,
 * because such a proxy causes it with every request. Called with every refusal of the data plane.
 */
import type { Failure } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { plainAddress, type Proxies } from "../http/client-address.ts";
import type { RequestHead } from "../seam/engine.ts";

/** Whether a refusal is of a kind that this key cures. */
interface Cure {
  key: string;
  advice: string;
  fits: (failure: Failure, head: RequestHead, proxies: Proxies) => boolean;
}

const CURES: Cure[] = [
  {
    key: "proxy_worker.trusted_proxies",
    advice:
      "requests come through a proxy that is not trusted, so its X-Forwarded-… headers do not count; name it there",
    fits: ({ kind }, head, { trusted }) =>
      (isOfOrigin(kind, head) || kind === "client-ip-not-allowed") &&
      FORWARDED.some((name) => head.header(name) !== null) &&
      !trusted(plainAddress(head.peer)),
  },
  {
    key: "proxy_worker.tls_advertised",
    advice:
      "a browser came over plain http and keeps no permit, which is for TLS alone; set it to false, or end TLS in front",
    fits: ({ kind }, head, { secure }) =>
      kind === "invalid-credentials" &&
      secure &&
      !head.tls &&
      /^(http|ws)\b/i.test(head.header("x-forwarded-proto") ?? ""),
  },
  {
    key: "Host",
    advice:
      "a proxy in front replaces the Host header, by which circuits are found; let it pass on the browser's " +
      "(nginx: proxy_set_header Host $http_host)",
    // No name under the domain at all; one whose circuit has ended is nobody's fault.
    fits: ({ kind, message }, head) =>
      kind === "object-not-found" &&
      message.includes("Subdomain (none)") &&
      head.frontend.mode === "wildcard" &&
      head.header("x-forwarded-for") !== null,
  },
  {
    key: "Host",
    advice:
      "a page of the circuit's own may have been refused: a proxy in front replaces the Host header; let it pass on the " +
      "browser's (nginx: proxy_set_header Host $http_host), or send X-Forwarded-Host",
    fits: ({ kind }, head, { trusted }) =>
      isOfOrigin(kind, head) && trusted(plainAddress(head.peer)) && head.header("x-forwarded-host") === null,
  },
];

/** What a browser's own word has decided (Sec-Fetch-Site) is no proxy's doing. */
function isOfOrigin(kind: Failure["kind"], head: RequestHead): boolean {
  return kind === "generic-forbidden" && head.header("sec-fetch-site") === null;
}

const FORWARDED = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded"];

export function createAdvice(proxies: Proxies, log: Log): (failure: Failure, head: RequestHead) => void {
  const waiting = new Set(CURES);
  return (failure, head) => {
    for (const cure of waiting) {
      if (!cure.fits(failure, head, proxies)) continue;
      waiting.delete(cure);
      log.warn({ key: cure.key, peer: head.peer, reason: failure.message }, cure.advice);
    }
  };
}
