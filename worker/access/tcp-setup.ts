/**
 * `/setup` of a TCP circuit: notes the person's address, which is all that raw TCP can be judged by (security 6), and tells their
 * client where to connect (wire 7). Called by setup.ts with who may use the link.
 */
import { wantsPage } from "../../shared/http/page.ts";
import { languageOf } from "../../shared/pages/language.ts";
import { isoTime } from "../../shared/values.ts";
import type { LetIn } from "../../shared/pages/render.ts";
import type { Entry } from "../circuits/table.ts";
import { checkAddress, type AdmitSettings } from "./authorize.ts";
import { PRIVATE_HEADERS } from "./enter.ts";
import type { Families } from "./families.ts";
import type { FirstUses } from "./first-use.ts";
import { gatewayOf, letInAnswer, letInPage, lookAndGoOn, type Ways } from "./let-in.ts";
import { LOOK_LIFETIME, LOOK_PATH, lookId, type LookLinks } from "./look-link.ts";
import type { Person } from "./person.ts";
import { ALLOWED_SECONDS, letsInUntil, type TcpAllowlist } from "./tcp-allowlist.ts";

export interface TcpSetupDeps {
  firstUses: FirstUses;
  admission: Pick<AdmitSettings, "now">;
  allowlist: TcpAllowlist;
  /** Every address may connect. */
  everybody: boolean;
  families: Families;
  looks: LookLinks;
  origin: (entry: Entry) => string;
  newId: () => string;
}

interface TcpVisit {
  header: (name: string) => string | null;
  person: Person;
  token: string;
  /** The token's; null for one of the original's coordinator. */
  jti: string | null;
  /** Where the coordinator was asked to lead. */
  redirect: string;
  /** The same client has used this link before. */
  again: boolean;
  query: URLSearchParams;
}

/** Lets the address in and tells what there is to tell: JSON, a page, or the way to the platform's client app. */
export async function openTcp(entry: Entry, visit: TcpVisit, deps: TcpSetupDeps): Promise<Response> {
  const { header, person, query } = visit;
  const { circuit } = entry;
  checkAddress(entry, person.address);
  await deps.allowlist.note(entry, person.address);
  const isOpen = deps.everybody || circuit.open_to_public;
  const other = isOpen || !visit.again ? null : await otherLetIn(visit, deps);
  const ways = isOpen || other !== null ? null : await waysOf(circuit.id, visit, deps);
  const until = letsInUntil(deps.admission.now());
  const allowed = isOpen ? null : [{ address: person.address, until }, ...(other === null ? [] : [other])];

  const origin = deps.origin(entry);
  const uri = clientUri(gatewayOf(origin, circuit), visit.token, circuit.protocol);
  const language = languageOf(header("accept-language"));
  const isTold = query.get("do-not-redirect") === "true";
  const isPage = !isTold && wantsPage(header);
  if (visit.redirect !== "" && !isTold) {
    if (ways !== null && isPage) return lookAndGoOn(uri, ways, language);
    return new Response(null, { status: 302, headers: [["Location", uri], ...PRIVATE_HEADERS] });
  }
  if (isPage) return letInPage({ language, origin, circuit, allowed, ways });
  return Response.json(
    { redirect: uri, redirectURI: uri, ...letInAnswer(allowed, ways) },
    { headers: PRIVATE_HEADERS },
  );
}

// --- internal ---

/** The link that tells the platform's client app where to connect. */
function clientUri(gateway: string, token: string, protocol: string): string {
  return `${CLIENT_APP}?directTCP=true&auth=${token}&proto=${protocol}&gateway=${encodeURIComponent(`tcp://${gateway}`)}`;
}

/** Where the platform's desktop client listens on the person's own machine. */
const CLIENT_APP = "http://localhost:45678/start";

/** The address that a second look by this link has let in. */
async function otherLetIn({ jti }: TcpVisit, { firstUses }: TcpSetupDeps): Promise<LetIn | null> {
  const first = jti === null ? null : await firstUses.find(lookId(jti));
  if (first === null || first.by === null) return null;
  return { address: first.by, until: isoTime(first.at + ALLOWED_SECONDS * 1000) };
}

/** The way of a second look; null where there is none, or where a proxy in between hides who comes. */
async function waysOf(cid: string, { person, jti }: TcpVisit, deps: TcpSetupDeps): Promise<Ways | null> {
  const { address: by, id: who } = person;
  const around = who === by ? await deps.families.around(by) : null;
  if (around === null) return null;
  const { there, back } = around;
  const exp = Math.floor(deps.admission.now() / 1000) + LOOK_LIFETIME;
  const link = deps.looks.there({ cid, id: jti ?? deps.newId(), by, back, exp });
  return { there, back, link: `${there}${LOOK_PATH}?t=${link}` };
}
