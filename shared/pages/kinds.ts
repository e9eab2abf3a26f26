/**
 * What there is to tell people when there is no app to show: a page for each situation, what it offers, and which one a
 * failure gets that names none itself. The words are in texts.ts.
 */
import type { FailureKind, PageKind } from "../failure.ts";

/** What a person can do from a page: load it again, or open the app anew where they started it. */
type Offer = "try" | "open";

interface Behaviour {
  offers: readonly Offer[];
  /** A page of an app that may come (back) by itself loads itself again. */
  retries?: true;
}

export const BEHAVIOURS: Record<PageKind, Behaviour> = {
  starting: { offers: ["try"], retries: true },
  refused: { offers: ["try", "open"], retries: true },
  "bad-address": { offers: ["open"] },
  "broken-off": { offers: ["try", "open"], retries: true },
  "timed-out": { offers: ["try", "open"], retries: true },
  moved: { offers: ["try", "open"], retries: true },
  "no-kernel": { offers: ["try", "open"], retries: true },
  "no-permit": { offers: ["open"] },
  framed: { offers: [] },
  "link-used": { offers: ["open"] },
  "link-expired": { offers: ["open"] },
  "bad-link": { offers: ["open"] },
  "other-session": { offers: ["open"] },
  "session-over": { offers: ["open"] },
  ended: { offers: ["open"] },
  "other-site": { offers: ["open"] },
  address: { offers: [] },
  forbidden: { offers: ["open"] },
  "service-token": { offers: [] },
  "not-for-browsers": { offers: ["open"] },
  "port-taken": { offers: ["open"] },
  "no-worker": { offers: ["try", "open"] },
  "not-responding": { offers: ["try", "open"] },
  "too-large": { offers: [] },
  crowded: { offers: ["try"] },
  "too-many-apps": { offers: ["try"] },
  "too-often": { offers: ["open"] },
  "bad-request": { offers: ["open"] },
  "no-such-page": { offers: ["open"] },
  "wrong-method": { offers: ["open"] },
  internal: { offers: ["try", "open"] },
};

/** The page of a failure that says nothing more of itself. */
export const PAGE_OF: Record<FailureKind, PageKind> = {
  "url-not-found": "no-such-page",
  "object-not-found": "ended",
  "generic-bad-request": "bad-request",
  "invalid-api-params": "bad-link",
  "invalid-credentials": "no-permit",
  "auth-failed": "forbidden",
  "generic-forbidden": "forbidden",
  "client-ip-not-allowed": "address",
  "method-not-allowed": "wrong-method",
  "payload-too-large": "too-large",
  "misdirected-request": "bad-request",
  "internal-server-error": "internal",
  "service-unavailable": "not-responding",
  "appproxy/worker-not-available": "no-worker",
  "appproxy/port-not-available": "port-taken",
  "appproxy/unsupported-protocol": "not-for-browsers",
  "appproxy/container-connection-refused": "refused",
  "appproxy/container-connection-timeout": "timed-out",
  "appproxy/loop": "bad-address",
  "appproxy/container-starting": "starting",
  "appproxy/too-many-connections": "crowded",
  "appproxy/too-many-circuits": "too-many-apps",
  "appproxy/opened-too-often": "too-often",
  "appproxy/worker-registration-error": "internal",
  "appproxy/worker-conflict": "internal",
  "appproxy/coordinator-connection-error": "not-responding",
};
