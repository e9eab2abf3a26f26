/**
 * A person comes with a token and wants an app: find the circuit or make one, wait until a worker serves it,
 * and say where to go. Everything that is decided from the database is decided in one transaction.
 */
import { Failure } from "../../shared/failure.ts";
import { mintSetupToken } from "../../shared/protocol/jwt.ts";
import type { ProxyRequest, CircuitSpec } from "../../shared/protocol/schema/api.ts";
import type { Acknowledgements } from "../delivery/acknowledgements.ts";
import type { Allowance } from "../circuits/allowance.ts";
import { createCircuit } from "../circuits/create.ts";
import { takeOverKernels, circuitsOfOthers } from "../circuits/end-routes.ts";
import { callerLine, circuitLine } from "../delivery/circuit-line.ts";
import type { Commit, Committed } from "../delivery/commit.ts";
import { fits, mustFind, notResponding, type Found, type Confirmations } from "../delivery/confirm.ts";
import { circuitsOfSession, findReusable, getCircuit } from "../store/circuit-queries.ts";
import { mustLeave } from "../circuits/refusals.ts";
import * as circuits from "../store/circuits.ts";
import { recycled, type ConfService } from "../tokens/service.ts";
import { newestIssue, type TokenRow } from "../store/tokens.ts";
import { jwtKeysOf } from "../store/nodes.ts";
import type { Caller, Query, Tx } from "../store/store.ts";
import type { Deps } from "../deps.ts";
import { jwtSecretFor } from "../secrets.ts";
import { SlotChooser } from "../placement/slot.ts";
import * as workers from "../store/workers.ts";
import { changeOf, check, purposeOf, reuseKey, routeTo, sameKernel, slotRequest } from "./circuit-spec.ts";
import { planOpen, type Plan } from "./plan.ts";

export interface Opened {
  redirectUrl: string;
  setupToken: string;
  circuitId: string;
  reuse: boolean;
}

export interface ProxyService {
  /**
   * Opens or reuses a circuit. Rejects with E10001 when no worker acknowledges it; nothing is left behind then. `from`: the
   * site that the person comes from.
   */
  open(request: ProxyRequest, by: Caller, from: string | null): Promise<Opened>;
  /** Checks a spec as `open` would, without a circuit. Throws the failure. */
  check(spec: CircuitSpec): void;
  /** Closes the session's circuits of an app. Gives how many there were. */
  close(tokenId: string, sessionId: string, app: string, by: Caller): Promise<number>;
}

interface Services {
  conf: ConfService;
  commit: Commit;
  acknowledgements: Pick<Acknowledgements, "everServed">;
  confirmations: Confirmations;
  allowance: Allowance;
}

/** How exact it is noted when a circuit was asked for. Milliseconds; collection is after seconds at the very least. */
const TOUCH_MS = 500;
/** Between two tries for a circuit that one node of its worker refuses and another has not said that it serves. */
const AGAIN_MS = 100;

export function createProxyService(
  deps: Deps,
  { conf, commit, acknowledgements, confirmations, allowance }: Services,
): ProxyService {
  const { config, database, now, newId, log } = deps;

  async function open(request: ProxyRequest, caller: Caller, from: string | null): Promise<Opened> {
    check(request);
    const token = await conf.redeem(request.token, request.session_id);
    const by = onBehalf(caller, token);
    const found = await findServed(request, token, by);
    const { row, worker } = found;
    const about = { ...circuitLine(row, worker.authority), ...callerLine(by) };
    log.info(about, found.reuse ? "circuit reused" : "circuit created");
    const home = config.proxy_coordinator.home_url ?? from;
    const known = await database.read((q) => jwtKeysOf(q, worker.id, now()));
    const setupToken = await mintSetupToken(
      { id: token.id, circuit: row.id, redirect: request.redirect ?? "", ...(home === null ? {} : { home }) },
      jwtSecretFor(config, worker.authority, known),
      newId(),
      now(),
    );
    return {
      redirectUrl: `${workers.apiUrl(worker)}/setup?token=${setupToken}`,
      setupToken,
      circuitId: row.id,
      // The WebUI expects false for TCP apps.
      reuse: found.reuse && row.protocol !== "tcp",
    };
  }

  /**
   * The circuit, when a worker serves it. When another request changes it meanwhile it is looked up anew; what that
   * request made of it is then accepted, so that two requests never undo each other in turn.
   */
  async function findServed(request: ProxyRequest, token: TokenRow, by: Caller): Promise<Found> {
    const end = performance.now() + config.proxy_coordinator.circuit_ack_timeout * 1000;
    let before: Found | null = null;
    for (;;) {
      const last: Found | null = before;
      const { result, settled } = await findOrGiveUp(request, token, by, last);
      const found: Found = { ...result, reuse: result.reuse && last?.reuse !== false };
      const [outcome] = await Promise.all([confirmations.wait(found, by), settled()]);
      if (outcome === "served") return found;
      if (outcome === "refused" && performance.now() > end) await confirmations.takeBack(found.row, by);
      if (outcome === "late" || performance.now() > end) throw notResponding();
      // Events and other requests have their turn before the next try, and the other nodes of a worker of which one refuses.
      await Bun.sleep(outcome === "refused" && last?.row.port === found.row.port ? AGAIN_MS : 0);
      before = found;
    }
  }

  /** Nothing is left behind of a circuit that its worker can't serve when there is no other place for it. */
  async function findOrGiveUp(
    request: ProxyRequest,
    token: TokenRow,
    by: Caller,
    before: Found | null,
  ): Promise<Committed<Found>> {
    try {
      return await commit(by, (tx) => findOrCreate(tx, request, token, before));
    } catch (error) {
      if (before !== null && error instanceof Failure && (await isHopeless(before.row)))
        await confirmations.takeBack(before.row, by);
      throw error;
    }
  }

  function isHopeless(row: circuits.CircuitRow): Promise<boolean> {
    return database.read((q) => !canStay(q, row, null, now()));
  }

  /** Whether a circuit can be served where it is. A wanted port that some node can open is what was asked for. */
  function canStay(q: Query, row: circuits.CircuitRow, wantedPort: number | null, at: number): boolean {
    const worker = mustFind(q, row.workerId);
    const isWanted = wantedPort !== null && wantedPort === row.port;
    const mayBeUsed = isWanted || acknowledgements.everServed(row);
    return worker.status === "ALIVE" && fits(row, worker) && !mustLeave(q, row, mayBeUsed, at);
  }

  function findOrCreate(tx: Tx, request: ProxyRequest, token: TokenRow, before: Found | null): Found {
    // Its session may have ended since it was redeemed, also unheard.
    conf.revalidate(tx, token);
    const row = findExisting(tx, request, token, before);
    // So that it is not collected while its user is on the way; a commit each time would be another wait for the disk.
    if (row !== undefined && tx.cause.now - row.usedAt > TOUCH_MS) circuits.touchAll(tx, [row.id]);
    const route = routeTo(token, request);
    const leadsThere = row !== undefined && sameKernel(row.routeInfo, route);
    const rivals = leadsThere ? [] : circuitsOfOthers(tx, [route]);
    const plan = planOpen({
      existing:
        row === undefined
          ? null
          : {
              row,
              leadsThere,
              canStay: canStay(tx, row, request.port ?? null, tx.cause.now),
              change: changeOf(request, row),
            },
      route,
      again: before !== null,
      rivals: rivals.length === 0 ? "none" : rivals.some((one) => isNewer(tx, one, token)) ? "newer" : "older",
    });
    if (plan.kind === "refuse") throw recycled();
    if (plan.takesOver) takeOverKernels(tx, [route], rivals);
    return carryOut(tx, plan, request, token);
  }

  function carryOut(tx: Tx, plan: Exclude<Plan, { kind: "refuse" }>, request: ProxyRequest, token: TokenRow): Found {
    const choose = () => new SlotChooser(tx, newId).choose(slotRequest(request, token));
    switch (plan.kind) {
      case "create":
        allowance.check(tx, token);
        return foundAt(tx, createCircuit(tx, newId(), purposeOf(request, token), choose()), "new", false);
      case "reuse":
        return foundAt(tx, plan.row, "as before");
      case "change":
        return foundAt(tx, circuits.updateCircuit(tx, plan.row, plan.change), "rerouted");
      case "move": {
        const row = plan.change === null ? plan.row : circuits.updateCircuit(tx, plan.row, plan.change);
        return foundAt(tx, circuits.moveCircuit(tx, row, choose(), false), "new");
      }
    }
  }

  function findExisting(
    q: Query,
    request: ProxyRequest,
    token: TokenRow,
    before: Found | null,
  ): circuits.CircuitRow | undefined {
    const mine = before === null ? undefined : getCircuit(q, before.row.id);
    if (mine !== undefined || request.no_reuse === true) return mine;
    return findReusable(q, reuseKey(request, token));
  }

  return {
    open,
    check,
    async close(tokenId, sessionId, app, caller) {
      const token = await conf.redeem(tokenId, sessionId);
      const { result } = await commit(onBehalf(caller, token), (tx) => {
        const rows = circuitsOfSession(tx, token.sessionId, app).filter((row) => row.appMode === "interactive");
        for (const row of rows) circuits.removeCircuit(tx, row, "closed-by-user");
        return rows.length;
      });
      return result;
    },
  };
}

// --- internal ---

/** A browser that comes with the Manager's token has no request id of its own: the Manager's is inherited. */
function onBehalf({ requestId, peer }: Caller, token: TokenRow): Caller {
  return { requestId: requestId ?? token.originRequestId, peer };
}

function foundAt(q: Query, row: circuits.CircuitRow, state: Found["state"], reuse = true): Found {
  return { row, worker: mustFind(q, row.workerId), reuse, state };
}

/**
 * Whether the platform has named the kernel for this circuit's session later than it issued the token. All tokens live
 * equally long, so one that has expired was the earlier one. Of a model service's kernel it is not known when it was
 * named, but not after its circuit's last change; who is refused for that comes back with a token that is newer.
 */
function isNewer(q: Query, row: circuits.CircuitRow, token: TokenRow): boolean {
  if (row.appMode === "inference") return row.updatedAt > token.createdAt;
  const { kernelHost, kernelPort, createdAt } = token;
  return row.routeInfo.some(({ session_id: id }) => (newestIssue(q, id, kernelHost, kernelPort) ?? 0) > createdAt);
}
