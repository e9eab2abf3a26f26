/** A heartbeat: tells the coordinator how this node is, and finds out from its answer whether something was missed. */
import { Failure } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { RouteReports } from "../../shared/protocol/schema/health.ts";
import type { Frontends } from "../listeners/frontends.ts";
import type { Contact } from "./contact.ts";
import type { Registered } from "./coordinator-client.ts";
import type { Replica } from "./replica/replica.ts";

export interface HeartbeatDeps {
  contact: Contact;
  replica: Replica;
  frontends: Frontends;
  log: Log;
  /** How the kernels of model services are. */
  report: () => RouteReports;
  /** Whether users' activity could not be written yet. */
  usageDelayed: () => boolean;
  /** Whether another process is taking this one's ports over: what that one says of the worker is what counts. */
  isSucceeded: () => boolean;
}

/** Where a node stands when the answer is there. */
export interface Mine {
  /** The revision with which it asked; null: it has none. */
  asked: number | null;
  /** The revision that it has by now. */
  revision: number | null;
  /** Of its table; null when it can't be compared. */
  digest: number | null;
}

/** An older coordinator's events carry no revision, so losses go unseen: fetch every so often. */
const BLIND_RESYNC_MS = 30_000;

/**
 * What a heartbeat's answer says of this node's table. `differs`: no change is missing, and yet it is another one. `missed`:
 * the coordinator has made changes that are not here, or has fewer than this node had when it asked, as its database was put
 * back from a backup. An event that is on its way looks like a missed one, and costs a needless fetch at worst.
 */
export function judge(
  answer: { revision?: number; digest?: number },
  { asked, revision, digest }: Mine,
): "fine" | "missed" | "differs" {
  if (answer.revision === undefined || asked === null || revision === null) return "fine";
  if (answer.revision === revision && digest !== null && answer.digest !== undefined && answer.digest !== digest)
    return "differs";
  return answer.revision > revision || answer.revision < asked ? "missed" : "fine";
}

/** Registers, or sends a heartbeat; then fetches what is lacking. Rejects when the coordinator can't be asked. */
export async function beat(deps: HeartbeatDeps): Promise<void> {
  const { contact, replica } = deps;
  if (contact.state().workerId === null) await contact.register();
  else await heartbeat(deps);
  if (contact.state().hasLeft) return;
  const { known, revision, fetchedAt } = replica.state();
  const isBlind = revision === null && performance.now() - fetchedAt > BLIND_RESYNC_MS;
  if (!known || isBlind) await replica.refresh();
  await replica.retryPorts();
}

// --- internal ---

async function heartbeat(deps: HeartbeatDeps): Promise<void> {
  const { contact, replica, log, isSucceeded } = deps;
  const answer = await tell(deps);
  if (answer === null || !contact.isAnother(answer) || isSucceeded()) return;
  // Recorded is what another one has said that has ended since. If that one lives, this is refused.
  await contact.register();
  log.warn("something else was on record for this authority; registered again");
  replica.lose();
}

/** The answer; null when the coordinator did not know this node, which has registered then. */
async function tell(deps: HeartbeatDeps): Promise<Registered | null> {
  const { contact, replica, frontends, log, report, usageDelayed } = deps;
  const { known, revision: asked, digest: before } = replica.state();
  const said = {
    revision: asked,
    digest: known ? before : null,
    usage_delayed: usageDelayed(),
    routes: report(),
    blocked_ports: frontends.blocked(),
  };
  try {
    const answer = await contact.heartbeat(said);
    const { revision, digest } = replica.state();
    const found = judge(answer, { asked, revision, digest });
    if (found === "missed") replica.lose();
    if (found === "differs") {
      log.warn({ revision }, "the circuits differ from the coordinator's; fetching everything");
      replica.distrust();
    }
    return answer;
  } catch (error) {
    if (!(error instanceof Failure) || error.kind !== "object-not-found") throw error;
    log.info("the coordinator does not know this worker; registering again");
    await contact.register();
    replica.lose();
    return null;
  }
}
