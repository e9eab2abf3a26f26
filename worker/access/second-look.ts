/**
 * `GET /setup/second-look?t=`: lets a client's other address in to a TCP circuit (security 6). `/setup` sees the address of one
 * family, and what connects afterwards may come over the other one. So its answer has a link that leads over the other family,
 * which leads back over the first with the address that it was asked from. Only who comes back from the address that has passed
 * `/setup` adds one: a stranger who has got hold of the link comes from elsewhere. Called by the worker's API.
 */
import { Failure } from "../../shared/failure.ts";
import { canonicalAddress } from "../../shared/http/addresses.ts";
import { wantsPage } from "../../shared/http/page.ts";
import { pathAndQuery } from "../../shared/http/target.ts";
import { languageOf } from "../../shared/pages/language.ts";
import type { Entry } from "../circuits/table.ts";
import { knownOrFetched, type Fetching } from "../circuits/unheard.ts";
import type { Proxies } from "../http/client-address.ts";
import { checkAddress, type AdmitSettings } from "./authorize.ts";
import { PRIVATE_HEADERS } from "./enter.ts";
import { familyOf, otherThan } from "./families.ts";
import { isSameClient, type FirstUses } from "./first-use.ts";
import { letInAnswer, letInPage } from "./let-in.ts";
import { alreadyUsed, badLink, ended, expired } from "./link-failures.ts";
import { LOOK_PATH, lookId, type Look, type LookLinks, type Seen } from "./look-link.ts";
import { personOf, type Person } from "./person.ts";
import { letsInUntil, type TcpAllowlist } from "./tcp-allowlist.ts";
import { seemsUnseen, unseen, UNSEEN_HEADERS } from "./unseen.ts";

export interface SecondLookDeps extends Fetching {
  firstUses: FirstUses;
  admission: Pick<AdmitSettings, "now">;
  allowlist: TcpAllowlist;
  proxies: Proxies;
  looks: LookLinks;
  origin: (entry: Entry) => string;
}

/** Answers the client at `peer`. Rejects with the failure. */
export async function secondLook(request: Request, peer: string, deps: SecondLookDeps): Promise<Response> {
  const header = (name: string) => request.headers.get(name);
  const quiet = unseen(request.method, header);
  if (quiet !== null || seemsUnseen(header))
    return new Response(null, { status: quiet?.status ?? 204, headers: UNSEEN_HEADERS });
  const query = new URLSearchParams(pathAndQuery(request.url).split("?")[1] ?? "");
  const look = deps.looks.read(query.get("t") ?? "");
  if (look === null) throw badLink("t: wanted the link of a second look");
  if (look.exp * 1000 <= deps.admission.now()) throw expired();
  const entry = await knownOrFetched(look.cid, deps);
  if (entry === undefined) throw ended();
  const person = personOf(request, peer, deps.proxies);
  const { also } = look;
  return also === null
    ? lookThere(entry, look, person, deps)
    : lookBack(entry, { ...look, also }, person, header, deps);
}

// --- internal ---

/** Over the other family: sees the address, and sends the client back with it. Nothing is used up by that. */
function lookThere(entry: Entry, { cid, id, by, back, exp }: Look, { address, id: who }: Person, deps: SecondLookDeps) {
  const first = familyOf(by);
  if (first === null || familyOf(address) !== otherThan(first) || who !== address) {
    const msg = `This link has to be opened over ${first === null ? "the other family" : otherThan(first)}`;
    throw new Failure("invalid-credentials", { msg, page: "link-used" });
  }
  checkAddress(entry, address);
  const proof = deps.looks.back({ cid, id, by, back, exp, also: address });
  return new Response(null, {
    status: 303,
    headers: [["Location", `${back}${LOOK_PATH}?t=${proof}`], ...PRIVATE_HEADERS],
  });
}

/** Over the first family again: who comes from the first address has both. */
async function lookBack(
  entry: Entry,
  { id, by, also }: Seen,
  person: Person,
  header: (name: string) => string | null,
  deps: SecondLookDeps,
): Promise<Response> {
  if (canonicalAddress(person.id) !== canonicalAddress(by)) throw alreadyUsed();
  // Its list may be another one by now.
  for (const address of [by, also]) checkAddress(entry, address);
  const first = await deps.firstUses.claim(lookId(id), also);
  if (first !== null && !isSameClient(first, also)) throw alreadyUsed();
  for (const address of [by, also]) await deps.allowlist.note(entry, address);
  const until = letsInUntil(deps.admission.now());
  const allowed = [by, also].map((address) => ({ address, until }));
  if (!wantsPage(header)) return Response.json(letInAnswer(allowed), { headers: PRIVATE_HEADERS });
  const origin = deps.origin(entry);
  return letInPage({
    language: languageOf(header("accept-language")),
    origin,
    circuit: entry.circuit,
    allowed,
    ways: null,
  });
}
