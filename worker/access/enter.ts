/**
 * The second hop of letting a person in: `/_appproxy/enter?t=TICKET` on the circuit's own origin turns a one-time ticket
 * into the circuit's permit cookie. It must be there, because a cookie can be set only by the origin that it is for.
 */
import { Failure, methodNotAllowed } from "../../shared/failure.ts";
import type { Answer } from "../../shared/http/page.ts";
import { languageOf } from "../../shared/pages/language.ts";
import { isFramed } from "../../shared/pages/reader.ts";
import { redirectPath } from "../../shared/http/redirect.ts";
import type { AdmitSettings } from "./authorize.ts";
import type { SingleUse } from "./single-use.ts";
import type { RequestHead } from "../seam/engine.ts";
import { CLEARING, clearingPage, expireCookies, isTrustworthy, mayHoldLeavings } from "./leavings.ts";
import { heldPermit, type Held } from "./held-permit.ts";
import { legacyLines } from "./permit-cookie.ts";
import { freshPermit } from "./permit-jar.ts";
import { TICKET_LIFETIME, type PermitClaims, type TicketClaims } from "./permit.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { Entry } from "../circuits/table.ts";
import { unseen, UNSEEN_HEADERS } from "./unseen.ts";

export const ENTER_PATH = "/_appproxy/enter";

/** Every answer on the way in: no cache keeps it, and no `Referer` tells its URL. */
export const PRIVATE_HEADERS: [string, string][] = [
  ["Cache-Control", "no-store"],
  ["Referrer-Policy", "no-referrer"],
];

export function isEnter(target: string): boolean {
  return target === ENTER_PATH || target.startsWith(`${ENTER_PATH}?`);
}

/** Lets the holder of a fresh ticket in. A reload with a valid permit simply goes on. Throws the failure. */
export async function enter(
  entry: Entry,
  head: RequestHead,
  settings: AdmitSettings,
  singleUse: SingleUse,
): Promise<Answer> {
  const quiet = unseen(head.method, (name) => head.header(name));
  if (quiet !== null) return { status: quiet.status, headers: quietHeaders(entry, head, settings), body: "" };
  if (head.method !== "GET") throw methodNotAllowed(["GET", "HEAD"], `${ENTER_PATH}: wanted GET`);
  const { circuit } = entry;
  const ticket = readTicket(head, circuit.id, settings);
  const isYoung = ticket !== null && ticket.exp * 1000 > settings.now();
  if (isYoung && !canKeep(circuit, head, settings)) throw needsTab(ticket, settings);
  const use = isYoung ? await singleUse.consume(ticket.jti, holderOf(circuit), USED_SECONDS * 1000) : "used";
  const path = redirectPath(ticket?.path ?? "") ?? "/";
  if (isYoung && use === "first") return welcome(entry, head, ticket, path, settings);
  const held = heldPermit(circuit, head.header("cookie"), settings);
  if (circuit.open_to_public || MAY_STAY.has(held.kind)) return goTo(path, []);
  throw use === "full" ? tooOften() : spent(isYoung);
}

/** Whether the target carries a ticket of this worker that is still good: then its circuit is known to some process of it. */
export function bringsTicket(head: RequestHead, { permits, now }: AdmitSettings): boolean {
  if (!isEnter(head.target)) return false;
  const ticket = ticketIn(head, permits);
  return ticket !== null && ticket.exp * 1000 > now();
}

// --- internal ---

function tooOften(): Failure {
  return new Failure("appproxy/opened-too-often", "This app was opened too often in the last minutes; try again later");
}

function spent(isYoung: boolean): Failure {
  const msg = "This link was used already or has expired; open the app again";
  return new Failure("invalid-credentials", { msg, page: isYoung ? "link-used" : "link-expired" });
}

/** Who has a circuit's tickets: its person, whatever circuit it is. To a public one anybody may have a link. */
function holderOf({ id, open_to_public: isPublic, user_id: user }: Circuit): string {
  return isPublic ? id : (user ?? id);
}

/** Gives the permit; where another user's app may have left something in the browser, it is cleared on the way. */
function welcome(
  { circuit }: Entry,
  head: RequestHead,
  ticket: TicketClaims,
  path: string,
  settings: AdmitSettings,
): Answer {
  const cookie = head.header("cookie");
  const lines = cookies(ticket, head, settings);
  if (!mayHoldLeavings(circuit, permitIn(heldPermit(circuit, cookie, settings)))) return goTo(path, lines);
  lines.push(...expireCookies(circuit, cookie));
  if (isTrustworthy(settings.secure, head.authority)) return goTo(path, [...CLEARING, ...lines]);
  return clearingPage(path, [...PRIVATE_HEADERS, ...lines], languageOf(head.header("accept-language")));
}

/** Who is in goes on, whatever became of the ticket. */
const MAY_STAY: ReadonlySet<Held["kind"]> = new Set(["permit", "legacy"]);

/** Somebody reads the page in the frame first. Seconds. */
const TAB_TICKET_LIFETIME = 600;
/**
 * Longer than any ticket of one origin can live: a tab's may be made in the last moment of a used one, and is used after both
 * otherwise. Clocks of two nodes may differ by some seconds.
 */
const USED_SECONDS = TICKET_LIFETIME + TAB_TICKET_LIFETIME + 60;

/** A page of another site that shows this in a frame would not have a cookie kept that is `SameSite=Lax`. */
function canKeep({ open_to_public: isPublic }: Circuit, head: RequestHead, { sameSite }: AdmitSettings): boolean {
  const header = (name: string) => head.header(name);
  return isPublic || sameSite !== "lax" || !isFramed(header) || header("sec-fetch-site") !== "cross-site";
}

/** Uses nothing up: the ticket goes on to the tab, still good for one use. One that has gone on already lives no longer by it. */
function needsTab(ticket: TicketClaims, { permits, now }: AdmitSettings): Failure {
  const at = Math.floor(now() / 1000);
  const lifetime = ticket.tab === true ? ticket.exp - at : TAB_TICKET_LIFETIME;
  const same = permits.ticket({ ...ticket, tab: true }, at, lifetime);
  return new Failure("invalid-credentials", {
    msg: "Browsers keep no cookie for an app in a frame of another site (permit.same_site); open it in a tab of its own",
    page: "framed",
    tab: `${ENTER_PATH}?t=${same}`,
  });
}

function readTicket(head: RequestHead, circuitId: string, { permits }: AdmitSettings): TicketClaims | null {
  const claims = ticketIn(head, permits);
  return claims?.cid === circuitId ? claims : null;
}

function ticketIn(head: RequestHead, permits: AdmitSettings["permits"]): TicketClaims | null {
  const query = head.target.slice(head.target.indexOf("?") + 1);
  return permits.readTicket(new URLSearchParams(query).get("t") ?? "");
}

function cookies({ uid, cid }: TicketClaims, head: RequestHead, settings: AdmitSettings): [string, string][] {
  return [...freshPermit(uid, cid, head.header("cookie"), settings), ...legacyLines(uid, settings)];
}

/** A page of another origin asks for the circuit to be cleared (leavings.ts); only who has a ticket may have that. */
function quietHeaders(entry: Entry, head: RequestHead, settings: AdmitSettings): [string, string][] {
  const { circuit } = entry;
  if (circuit.recycled_at === undefined) return UNSEEN_HEADERS;
  const ticket = readTicket(head, circuit.id, settings);
  const isNew = ticket !== null && ticket.exp * 1000 > settings.now();
  const clears = isNew && mayHoldLeavings(circuit, permitIn(heldPermit(circuit, head.header("cookie"), settings)));
  return clears ? [...UNSEEN_HEADERS, ...CLEARING] : UNSEEN_HEADERS;
}

/** What tells since when a browser has been cleared: the compatible permit tells nothing. */
function permitIn(held: Held): PermitClaims | null {
  return held.kind === "permit" ? held.claims : null;
}

function goTo(path: string, cookieLines: [string, string][]): Answer {
  return { status: 303, headers: [["Location", path], ...PRIVATE_HEADERS, ...cookieLines], body: "" };
}
