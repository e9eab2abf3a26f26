/** What a Manager does with model services. Every call may be repeated, so what is unknown is simply done again. */
import type { Outcome } from "./calls.ts";
import type { Authority, Node } from "./cluster.ts";
import type { Kernel } from "./kernels.ts";
import type { Service } from "./model.ts";
import type { Random } from "./random.ts";
import type { Stage } from "./stage.ts";
import { tell } from "./tenants.ts";
import { placeOf, visit, type Slot, type Visit } from "./visits.ts";

const OWNER = "f38dea23-50fa-42a0-b5ae-338f5f4693f4";
const PATH = "/v2/endpoints/bulk/routes";

export function newService({ services }: Stage, random: Random, domain: Authority): Service {
  const service: Service = {
    id: random.uuid(),
    domain,
    existence: "absent",
    url: null,
    token: null,
    routes: new Map(),
    isSettled: true,
    isBusy: false,
  };
  services.push(service);
  return service;
}

/** Makes it, or finds that it is there. */
export async function sync({ calls, timeline }: Stage, service: Service): Promise<void> {
  const outcome = await calls.api("POST", `/v2/endpoints/${service.id}`, {
    service_name: `s${service.id.slice(0, 4)}`,
    tags: { session: { user_uuid: OWNER, domain_name: service.domain }, endpoint: {} },
  });
  timeline.note("manager", `makes service ${service.id.slice(0, 4)}: ${tell(outcome)}`);
  if (outcome.is === "done") {
    const url = String(outcome.value["endpoint"]);
    // Its worker was not lost for five minutes, so its URL is the one that it had.
    if (service.existence === "present" && service.url !== null && service.url !== url)
      timeline.broken(`service ${service.id} had ${service.url} and has ${url}`);
    Object.assign(service, { existence: "present", url });
    return;
  }
  if (outcome.is === "unknown" || service.existence !== "absent") service.existence = "unknown";
}

/** Replaces its routes, or adds to them and takes from them. */
export async function reroute(stage: Stage, service: Service, random: Random): Promise<void> {
  const { calls, timeline, kernels } = stage;
  const how = random.pick(["replace", "register", "unregister"] as const);
  const before = new Map(service.routes);
  const fresh = new Map<string, Kernel>();
  if (how !== "unregister") fresh.set(random.uuid(), kernels.take(service.id));
  const gone = how === "unregister" && before.size > 1 ? [...before.keys()].slice(0, 1) : [];
  if (how === "register") service.routes = new Map([...before, ...fresh]);
  if (how === "replace") service.routes = fresh;
  for (const id of gone) service.routes.delete(id);
  const path = how === "replace" ? PATH : `${PATH}/${how}`;
  const item = how === "unregister" ? { route_ids: gone } : { routes: [...fresh].map(toRoute) };
  const outcome = await calls.api("POST", path, { endpoints: [{ deployment_id: service.id, ...item }] });
  timeline.note(
    "manager",
    `${how} routes of ${service.id.slice(0, 4)} (${service.routes.size} then): ${tell(outcome)}`,
  );
  noteRoutes(stage, service, before, how === "replace", outcome);
}

/** Says once more what its routes should be, as the Manager does when a call has failed. */
export async function settleRoutes(stage: Stage, service: Service): Promise<void> {
  const { calls, timeline } = stage;
  const endpoints = [{ deployment_id: service.id, routes: [...service.routes].map(toRoute) }];
  const outcome = await calls.api("POST", PATH, { endpoints });
  timeline.note("manager", `says the routes of ${service.id.slice(0, 4)} again: ${tell(outcome)}`);
  noteRoutes(stage, service, service.routes, true, outcome);
}

export async function mint({ calls }: Stage, service: Service): Promise<void> {
  const exp = Math.floor(Date.now() / 1000) + 86_400;
  const outcome = await calls.api("POST", `/v2/endpoints/${service.id}/token`, { user_uuid: OWNER, exp });
  if (outcome.is === "done") service.token = String(outcome.value["token"]);
}

export async function remove({ calls, timeline }: Stage, service: Service): Promise<void> {
  const outcome = await calls.api("DELETE", `/v2/endpoints/${service.id}`);
  timeline.note("manager", `deletes service ${service.id.slice(0, 4)}: ${tell(outcome)}`);
  if (outcome.is === "done") {
    Object.assign(service, { existence: "absent", url: null, token: null, isSettled: true });
    service.routes.clear();
  }
  // Made again it may have no routes or those that it had, and be another circuit, for which its token is no good.
  if (outcome.is === "unknown") Object.assign(service, { existence: "unknown", isSettled: false, token: null });
}

/** A program asks the service at a node. */
export async function query(stage: Stage, service: Service, node: Node, slot: Slot): Promise<Visit> {
  const place = placeOf(stage.cluster, node, slot);
  const answer = await visit(place, { Authorization: `Bearer ${service.token ?? ""}` });
  if (answer.is === "answered" && answer.by.tenant !== service.id)
    stage.timeline.broken(
      `service ${service.id} at ${node.machine.name} (${place.origin}) was answered by ${JSON.stringify(answer.by)}`,
    );
  return answer;
}

// --- internal ---

function toRoute([id, { port }]: [string, Kernel]) {
  return { route_id: id, session_id: sessionOf(id), kernel_host: "127.0.0.1", kernel_port: port };
}

/** Each route has a session of its own. */
export function sessionOf(routeId: string): string {
  return `5e5510${routeId.slice(6)}`;
}

/** Takes the outcome of a change of routes. Only a whole table says what they are when that was unknown. */
function noteRoutes(
  { timeline }: Stage,
  service: Service,
  before: Map<string, Kernel>,
  isWhole: boolean,
  outcome: Outcome<Record<string, unknown>>,
): void {
  if (outcome.is === "unknown") return void (service.isSettled = false);
  if (outcome.is === "refused") return void (service.routes = before);
  const [entry] = outcome.value["endpoints"] as { success: boolean; error: string | null }[];
  if (entry?.success === true) return void (service.isSettled ||= isWhole);
  service.isSettled = false;
  if (service.existence === "present")
    timeline.broken(`service ${service.id} is there, and its routes were refused: ${entry?.error ?? ""}`);
}
