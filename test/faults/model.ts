/**
 * What the tenants know: which circuits they have been given, which they have given back, and of which calls they do not
 * know the outcome. The database and the nodes are held to it.
 */
import type { Outcome, Opened } from "./calls.ts";
import type { Authority } from "./cluster.ts";
import type { Kernel } from "./kernels.ts";
import type { Timeline } from "./timeline.ts";
import type { Slot } from "./visits.ts";

/** `unknown`: a call's connection broke. The same call made again tells. */
export type Existence = "absent" | "present" | "unknown";

/** An app of a session that somebody opens, uses and closes: at most one circuit at any time. */
export interface App {
  name: string;
  sessionId: string;
  domain: Authority;
  isPublic: boolean;
  existence: Existence;
  circuitId: string | null;
  /** Ids that are gone for good. */
  gone: Set<string>;
  /** Kernels that it may lead to now: several while the outcome of a change is unknown. */
  kernels: Set<Kernel>;
  /** The way in; null until somebody has entered. */
  slot: Slot | null;
  cookie: string;
  /** A call about it is under way: calls about one app follow each other, so that their order is known. */
  isBusy: boolean;
  /** Connections are open over it that have to last: nobody deletes it or sends it elsewhere. */
  isKept: boolean;
  /** Its session has ended: nobody opens it any more. */
  isOver: boolean;
}

/** A model service. */
export interface Service {
  id: string;
  domain: Authority;
  existence: Existence;
  url: string | null;
  token: string | null;
  /** Kernels by route id, as they should be. */
  routes: Map<string, Kernel>;
  /** False while the outcome of a change of its routes is unknown. */
  isSettled: boolean;
  isBusy: boolean;
}

export function newApp(sessionId: string, name: string, domain: Authority, isPublic: boolean, kernel: Kernel): App {
  return {
    name,
    sessionId,
    domain,
    isPublic,
    existence: "absent",
    circuitId: null,
    gone: new Set(),
    kernels: new Set([kernel]),
    slot: null,
    cookie: "",
    isBusy: false,
    isKept: false,
    isOver: false,
  };
}

/** Takes the outcome of opening an app at a kernel, and judges it. */
export function noteOpened(app: App, kernel: Kernel, outcome: Outcome<Opened>, timeline: Timeline): void {
  if (outcome.is !== "done") {
    // Perhaps it leads to the new kernel by now, perhaps still to the old one.
    app.kernels.add(kernel);
    // A refused opening leaves nothing of a new circuit; an old one may be on its way to another worker.
    const isSure = outcome.is === "refused" && app.existence === "absent";
    app.existence = isSure ? "absent" : "unknown";
    return;
  }
  const { circuitId } = outcome.value;
  if (app.existence === "present" && circuitId !== app.circuitId)
    timeline.broken(`${label(app)} has circuit ${app.circuitId ?? ""}, and opening it again gave ${circuitId}`);
  if (app.gone.has(circuitId)) timeline.broken(`${label(app)}: circuit ${circuitId} was deleted, and is given again`);
  if (app.circuitId !== null && app.circuitId !== circuitId) app.gone.add(app.circuitId);
  app.existence = "present";
  app.circuitId = circuitId;
  app.kernels = new Set([kernel]);
}

/** Takes the outcome of closing an app. */
export function noteClosed(app: App, outcome: Outcome<null>, timeline: Timeline): void {
  if (outcome.is === "done") {
    if (app.circuitId !== null) app.gone.add(app.circuitId);
    Object.assign(app, { existence: "absent", circuitId: null, slot: null, cookie: "" });
    return;
  }
  const isMissing = outcome.is === "refused" && outcome.status === 404;
  if (isMissing && app.existence === "present")
    timeline.broken(`${label(app)}: circuit ${app.circuitId ?? ""} is lost`);
  // A refused deletion has deleted nothing.
  if (outcome.is === "unknown") app.existence = "unknown";
  else if (isMissing) app.existence = "absent";
}

/** How it is called in a timeline. */
export function label(app: App): string {
  return `${app.sessionId.slice(0, 4)}/${app.name}${app.isPublic ? " (public)" : ""}`;
}
