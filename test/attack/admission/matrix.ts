/** Tries cases on a stage, and holds what is said and what the app has seen against the rules. */
import type { Shape } from "../../contract/shapes.ts";
import { requestOf, type Marked } from "./bytes.ts";
import type { Knocked } from "./circuits.ts";
import { APPS, type Counter } from "./counter.ts";
import { named } from "./credentials.ts";
import { verdictOf, type Case, type Verdict } from "./rules.ts";
import { speak, textOf, type Answered, type Said } from "./speak.ts";

export interface Ground {
  shape: Pick<Shape, "engine" | "frontend">;
  secure: boolean;
  knocked: readonly Knocked[];
  counter: Counter;
}

export interface Found {
  /** What was answered otherwise than the rules say. */
  faults: string[];
  /** Cases that the app has seen otherwise than it should. */
  miscounted: string[];
  /** Refusals of one kind that look different: each kind with its answers, and a case of each. */
  uneven: string[];
  letIn: number;
  refused: number;
}

/** So many at a time. */
const HANDS = 12;
/** One in so many is a browser's. */
const PAGES = 6;

export async function tryAll(cases: readonly Case[], ground: Ground): Promise<Found> {
  const { counter } = ground;
  const found: Found = { faults: [], miscounted: [], uneven: [], letIn: 0, refused: 0 };
  const wanted = new Map<string, number>();
  const answers = new Map<string, Map<string, string>>();
  let next = 0;

  async function one(at: number, given: Case): Promise<void> {
    const marked: Marked = { ...given, mark: `case-${at}`, isPage: at % PAGES === 0 };
    const verdict = verdictOf(given, where(ground));
    const before = foregoer(marked);
    if (verdict.kind === "let in") wanted.set(marked.mark, 1);
    if (before !== null) wanted.set(before.mark, 1);
    found[verdict.kind === "let in" ? "letIn" : "refused"]++;
    const requests = [...(before === null ? [] : [before]), marked].map((each) =>
      requestOf(each, knockedOf(ground, each), ground.secure),
    );
    const said = await speak(knockedOf(ground, given).to.port, ground.secure, requests);
    const last = said.at(-1) ?? { kind: "closed" };
    const fault = faultOf(verdict, last, marked);
    if (fault !== null) found.faults.push(`${nameOf(marked)}: ${fault}`);
    else if (verdict.kind === "refused" && last.kind === "answered") compare(verdict, last, marked);
  }

  function compare({ like }: Verdict & { kind: "refused" }, answer: Answered, marked: Marked): void {
    if (like === null) return;
    // Clients of a model service read its errors in a form of their own.
    const reader = marked.kind.state === "ended" ? "nobody's" : (marked.kind.wish.appMode ?? "interactive");
    const kind = `${like}, ${reader}${marked.isPage ? ", as a page" : ""}${marked.method === "HEAD" ? ", of HEAD" : ""}`;
    const seen = answers.get(kind) ?? new Map<string, string>();
    seen.set(textOf(answer), nameOf(marked));
    answers.set(kind, seen);
  }

  async function hand(): Promise<void> {
    for (let at = next++; at < cases.length; at = next++) {
      const given = cases[at] as Case;
      await one(at, given).catch((error: unknown) => found.faults.push(`${nameOf(given)}: ${String(error)}`));
    }
  }

  await Promise.all(Array.from({ length: HANDS }, hand));
  for (const mark of new Set([...wanted.keys(), ...counter.seen.keys()])) {
    const [due, came] = [wanted.get(mark) ?? 0, counter.seen.get(mark) ?? 0];
    const about = cases[Number(/\d+/.exec(mark)?.[0])];
    if (due !== came)
      found.miscounted.push(`${mark}, ${about === undefined ? "?" : nameOf(about)}: ${came} for ${due}`);
  }
  found.miscounted.push(...counter.strays());
  for (const [kind, seen] of answers)
    if (seen.size > 1) found.uneven.push(`${kind}: ${JSON.stringify([...seen].slice(0, 3))}`);
  return found;
}

// --- internal ---

function where({ shape }: Ground) {
  // An engine that knows only a list of methods: line H1 of its deviations.
  return { frontend: shape.frontend, knows: (method: string) => shape.engine === "sockets" || method !== "BREW" };
}

function knockedOf({ knocked }: Ground, { kind }: Case): Knocked {
  const found = knocked.find((one) => one.kind === kind);
  if (found === undefined) throw new Error(`nothing of the kind "${kind.name}" is open`);
  return found;
}

/** The request before it over the same connection, which is let in; null where none is, or can be. */
function foregoer({ protocol, kind, mark }: Marked): Marked | null {
  if (protocol !== "behind another request" || kind.state !== "there" || !kind.listed || !kind.owned) return null;
  const credential = named(kind.wants === "token" ? "a token" : "a permit");
  const site = { name: "a program", isOwn: true } as const;
  return { method: "GET", protocol: "HTTP/1.1", kind, credential, site, mark: `${mark}-before`, isPage: false };
}

/** What is wrong with an answer; null for nothing. */
function faultOf(verdict: Verdict, said: Said, { isPage, method }: Marked): string | null {
  if (verdict.kind === "closed" || verdict.kind === "no connection")
    return said.kind === verdict.kind ? null : `wanted ${verdict.kind}, got ${shown(said)}`;
  if (said.kind !== "answered") return `wanted an answer, got ${said.kind}`;
  const isApps = said.headers.some(([name]) => name === APPS);
  if (verdict.kind === "let in") {
    return isApps && (said.status === 200 || said.status === 101) ? null : `wanted the app, got ${shown(said)}`;
  }
  if (isApps) return `got the app's answer: ${shown(said)}`;
  if (said.status !== verdict.status) return `wanted ${verdict.status}, got ${shown(said)}`;
  if (said.headers.some(([name]) => name === "set-cookie")) return `a refusal sets a cookie: ${shown(said)}`;
  const { says } = verdict;
  if (says === null || isPage || method === "HEAD") return null;
  return said.body.includes(says) ? null : `wanted "${says}", got ${shown(said)}`;
}

function nameOf({ method, protocol, kind, credential, site }: Case): string {
  return [kind.name, credential.name, method, protocol, site.name].join(" · ");
}

function shown(said: Said): string {
  return said.kind === "answered" ? `${said.status} ${JSON.stringify(said.body.slice(0, 200))}` : said.kind;
}
