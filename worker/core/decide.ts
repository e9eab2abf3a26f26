/**
 * The walk of a request: find the circuit, see who comes, admit, pick a route, rewrite headers.
 * Nothing reaches an app that did not come through here.
 */
import { Failure, methodNotAllowed, toFailure } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { redactUrl } from "../../shared/runtime/redact.ts";
import { reportFailure } from "../../shared/runtime/report-failure.ts";
import { isHost, isTarget } from "../../shared/http/target.ts";
import { failureAnswer, type Answer } from "../../shared/http/page.ts";
import { answerEdits } from "../http/answer-edits.ts";
import { ANSWER_RULES } from "../http/answer-rules.ts";
import { admit, checkAddress, type AdmitSettings } from "../access/authorize.ts";
import type { SingleUse } from "../access/single-use.ts";
import { isOurs } from "../access/bearer.ts";
import { clientOf, hasNoPort, withPort, type Client, type Proxies } from "../http/client-address.ts";
import type { Frames } from "../access/frames.ts";
import { corsLines, policyLines, readable, type Listed } from "../access/cors.ts";
import type { Capabilities } from "../seam/capabilities.ts";
import type { AnswerLines, Core, Decision, Forward, HeaderEdits, RequestHead } from "../seam/engine.ts";
import { bringsTicket, enter, isEnter } from "../access/enter.ts";
import { answerFor, upstreamFault } from "./failure.ts";
import { Familiars, type Familiar } from "./familiar.ts";
import { isPreflight, preflightAnswer } from "../access/preflight.ts";
import { resolve, unresolved } from "./resolve.ts";
import type { Hold } from "./hold.ts";
import { nextHop } from "./loops.ts";
import type { Homes } from "../circuits/homes.ts";
import { HOP, mayTrail, requestEdits } from "../http/headers.ts";
import { isBareManifest, manifestAnswer } from "../access/manifest.ts";
import { pick } from "./pick.ts";
import { crowdedFailure, type Full } from "../../shared/net/crowding.ts";
import type { ServiceWorkerNotes } from "../circuits/service-workers.ts";
import { fullFor, fullKey, type CircuitRoom } from "./crowded.ts";
import { admitTcp, refusedTcp, type TcpRules } from "./decide-tcp.ts";
import { createSlowRefusals, type SlowRefusals } from "./slow-refusals.ts";
import { isRepeatable } from "../upstreams/attempts.ts";
import { useOf, type Entry, type Table } from "../circuits/table.ts";
import type { Usage } from "../circuits/usage.ts";

export interface DecideDeps {
  table: Table;
  /** False until circuits are known for the first time. */
  isReady: () => boolean;
  /** Fetches what this node may not know yet. */
  refresh: () => Promise<void>;
  usage: Usage;
  singleUse: SingleUse;
  serviceWorkers: Pick<ServiceWorkerNotes, "fetched">;
  log: Log;
  admission: AdmitSettings;
  proxies: Proxies;
  /** Where browsers find a circuit. */
  origin: (entry: Entry) => string;
  /** Whose pages may call a circuit with credentials. */
  listed: Listed;
  /** Whose pages may show its app in a frame. */
  frames: Frames;
  /** Told of every refusal: some come from how a proxy in front is set up. */
  advise: (failure: Failure, head: RequestHead) => void;
  /** The wildcard domain with its leading dot. */
  domain: string | null;
  tcp: TcpRules;
  room: CircuitRoom;
  homes: Homes;
  hold: Hold;
  /** Of the engine that carries what is decided. */
  capabilities: Pick<Capabilities, "trailers" | "tunnels">;
}

export function createCore(given: DecideDeps): Core<Entry> {
  const refusals = createSlowRefusals(() => performance.now(), given.room.ofWaiting);
  const deps = { ...given, refusals, familiars: new Familiars() };
  const { log, domain, homes, admission } = deps;
  const { now } = admission;
  return {
    decide: (head) => decide(head, deps, deps.hold),
    failed(failure, head, entry) {
      try {
        deps.advise(failure, head);
        const answer = answerFor(failure, head, entry, { homes, log, proxies: deps.proxies, domain, now });
        const origin = head.header("origin");
        return origin !== null && entry !== null && deps.listed(entry, origin) ? readable(answer, origin) : answer;
      } catch (error) {
        return lastAnswer(error, log);
      }
    },
    upstreamFault,
    admit: (arrival) => admitTcp(arrival, deps),
    unanswered: (arrival, fault, entry) => refusedTcp(arrival, entry, fault.message, log),
  };
}

// --- internal ---

type Decided = Decision<Entry>;

interface Deps extends DecideDeps {
  familiars: Familiars;
  refusals: SlowRefusals;
}

/** Of the methods that have a name in RFC 9110 and RFC 5789: which of them an app takes is its own to say. */
const PROXIED = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/** `hold` lets a page that loads itself again wait for its app. Never throws, and a promise of it never rejects. */
function decide(head: RequestHead, deps: Deps, hold: Hold | null, isRefreshed = false): Decided | Promise<Decided> {
  let entry: Entry | null = null;
  try {
    entry = resolve(deps.table, head, deps.domain);
    // Another node has let the person in, who is faster than the event here.
    if (entry === null && !isRefreshed && bringsTicket(head, deps.admission)) return refreshed(head, deps, hold);
    return walk(head, entry, deps, hold);
  } catch (error) {
    return refusal(error, entry);
  }
}

/** Once more, with all circuits that there are. */
function refreshed(head: RequestHead, deps: Deps, hold: Hold | null): Promise<Decided> {
  const again = () => decide(head, deps, hold, true);
  // Where nobody can be asked, what is known has to do.
  return deps.refresh().then(again, again);
}

function walk(head: RequestHead, entry: Entry | null, deps: Deps, hold: Hold | null): Decided | Promise<Decided> {
  const { isReady, singleUse, admission, domain, log } = deps;
  if (head.method === "CONNECT" || head.method === "TRACE")
    throw methodNotAllowed(PROXIED, `${head.method} is not proxied`);
  // RFC 9112 §3.2: a request without one Host, or with an unreadable one, is answered with 400.
  if (!isHost(head.authority)) throw new Failure("generic-bad-request", "Host: wanted one host");
  if (!isTarget(head.target))
    throw new Failure("generic-bad-request", "Request target: wanted printable ASCII without a fragment");
  if (entry === null) throw unresolved(head, domain, isReady());
  const familiar = deps.familiars.of(head, entry, () => clientAt(head, entry, deps));
  const { client } = familiar;
  checkAddress(entry, client.address);
  if (isPreflight(head, entry, deps.listed)) return { kind: "answer", answer: preflightAnswer(head, entry) };
  if (isEnter(head.target)) {
    return enter(entry, head, admission, singleUse).then(
      (answer): Decided => ({ kind: "answer", answer }),
      (error: unknown) => refusal(error, entry),
    );
  }
  if (isBareManifest(head, entry, admission)) {
    log.debug(
      { circuit: entry.circuit.id, url: redactUrl(head.target) },
      "a web app manifest was asked for without cookies",
    );
    return { kind: "answer", answer: manifestAnswer() };
  }
  const admitted = admit(entry, head, client, admission, familiar);
  if (!(admitted instanceof Promise)) {
    const held = entry.trouble === null ? null : (hold?.(entry, head) ?? null);
    // Meanwhile the circuit may have ended: from the start again.
    if (held !== null) return held.then(() => decide(head, deps, null));
    return onward(entry, head, familiar, admitted, deps);
  }
  // The token is known now. Meanwhile the slot may be another circuit's: from the start again.
  return admitted.then(
    () => decide(head, deps, hold),
    (error: unknown) => refusal(error, entry),
  );
}

function clientAt(head: RequestHead, entry: Entry, { proxies, origin }: Deps): Client {
  const client = clientOf(head, proxies);
  if (hasNoPort(client.host)) client.host = withPort(client.host, origin(entry));
  return client;
}

/** Who was let in goes on to a kernel. */
function onward(
  entry: Entry,
  head: RequestHead,
  familiar: Familiar,
  add: [string, string][],
  deps: Deps,
): Decided | Promise<Decided> {
  const { circuit } = entry;
  const { usage, serviceWorkers, room } = deps;
  // Service Workers: only the browser itself can set this header, for the script that is about to be registered.
  const registers = head.header("service-worker") === "script";
  if (registers && circuit.service_workers === "blocked")
    throw new Failure("generic-forbidden", "Another user's app has left a service worker here; none can be registered");
  const full = fullFor(entry, room);
  if (full !== null) return crowded(entry, full, deps);
  const use = useOf(entry, usage);
  const hop = nextHop(entry, head, familiar.client.address);
  const attempt = pick(entry, use, head.upgrade ? "connection" : "request");
  use.request();
  return {
    kind: "forward",
    circuit: entry,
    attempt,
    edits: editsFor(entry, head, familiar, hop, deps),
    answerEdits: answerEditsFor(entry, head, familiar, add, deps),
    repeatable: isRepeatable(head),
    mayTrail: MAY_TRAIL[circuit.frontend_mode],
    answered: registers ? (status) => serviceWorkers.fetched(circuit, status) : undefined,
  };
}

function editsFor(
  { circuit }: Entry,
  head: RequestHead,
  familiar: Familiar,
  hop: number | null,
  { capabilities }: Deps,
): HeaderEdits {
  const { edits: before } = familiar;
  if (before !== null) return hop === null ? before : withHop(before, hop);
  const { id, app, app_mode: mode, open_to_public: isPublic } = circuit;
  // What was checked here ends here; the key of a public model service is its own (security 2).
  const edits = requestEdits(head, familiar.client, {
    app,
    authorization: mode === "interactive" || (isPublic && !isOurs(id, head.header("authorization"))),
    trailers: capabilities.trailers,
    tunnels: capabilities.tunnels,
  });
  // RStudio is told the target too.
  if (app !== "rstudio") familiar.edits = edits;
  return hop === null ? edits : withHop(edits, hop);
}

/** A busy service's calls from another app have each a number, and the rest in common. */
function withHop(edits: HeaderEdits, hop: number): HeaderEdits {
  return { ...edits, set: [...edits.set, [HOP, String(hop)]] };
}

function answerEditsFor(
  entry: Entry,
  head: RequestHead,
  familiar: Familiar,
  add: Lines,
  { listed, frames }: Deps,
): Forward<Entry>["answerEdits"] {
  const { answer } = familiar;
  const cors = corsLines(entry, head, listed);
  const framed = frames(entry);
  if (answer?.add === add && answer.cors === cors && answer.frames === framed) return answer.edits;
  const policy = policyLines(entry, head, listed);
  const wishes = {
    add,
    cors,
    policy,
    frames: framed,
    rules: ANSWER_RULES[entry.circuit.frontend_mode],
    host: familiar.client.host,
  };
  const edits = (lines: AnswerLines, status: number) => answerEdits(lines, status, wishes);
  familiar.answer = { add, cors, frames: framed, edits };
  return edits;
}

type Lines = [name: string, value: string][];

const MAY_TRAIL = { port: passesIn("port"), wildcard: passesIn("wildcard") };

function passesIn(mode: "port" | "wildcard"): (name: string) => boolean {
  const rules = ANSWER_RULES[mode];
  return (name) => mayTrail(name) && !rules.has(name);
}

function crowded(entry: Entry, full: Full, { refusals }: Deps): Decided | Promise<Decided> {
  const refused = refusal(crowdedFailure(full), entry);
  return refusals.wait(fullKey(entry, full))?.then(() => refused) ?? refused;
}

function refusal(error: unknown, circuit: Entry | null): Decided {
  return { kind: "refuse", failure: toFailure(error), circuit };
}

/** Where the answer to a failure has failed itself: nothing of the request is asked for any more. */
function lastAnswer(error: unknown, log: Log): Answer {
  const errorId = crypto.randomUUID();
  const failure = toFailure(error);
  reportFailure(log, failure, { error_id: errorId });
  return failureAnswer(failure, "json", { errorId });
}
