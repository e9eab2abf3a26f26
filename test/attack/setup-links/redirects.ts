/** Every way in which a `redirect` can be given, followed to its end as a browser reads it (the URL Standard's parser). */
import { mintSetupToken } from "../../../shared/protocol/jwt.ts";
import { JWT_SECRET } from "../../support/manager.ts";
import { permits } from "../admission/forgery.ts";
import { open, request, type Answer, type App } from "./person.ts";
import type { Site } from "./site.ts";

const USER = "11111111-2222-4333-8444-555555555555";

/** Circuits to lead to, and tokens to ask with. */
interface Stops {
  site: Site;
  /** Of the person who asks; with a page between where a browser may still have another's leavings. */
  own: App;
  origin: string;
  recycled: App;
  recycledOrigin: string;
  everybodys: App;
  everybodysOrigin: string;
  /** A link that somebody has used, and the permit that it has led to. */
  used: (redirect: string) => Promise<string>;
  permit: string;
}

export async function stopsOf(site: Site): Promise<Stops> {
  const former = await request(site, { user: crypto.randomUUID(), proxy: { subdomain: "again" } });
  const formerOrigin = await originOf(site, former);
  await site.manager.api("DELETE", `/api/circuit/${former.circuit}`);
  const again = site.shape.frontend === "port" ? { port: Number(new URL(formerOrigin).port) } : { subdomain: "again" };
  const recycled = await request(site, { proxy: again });
  const [own, everybodys] = [await request(site), await request(site, { proxy: { open_to_public: true } })];
  const permit = permits.issue(USER, own.circuit, Math.floor(Date.now() / 1000), 3600);
  return {
    site,
    own,
    origin: await originOf(site, own),
    recycled,
    recycledOrigin: await originOf(site, recycled),
    everybodys,
    everybodysOrigin: await originOf(site, everybodys),
    permit: `appproxy_permit_${own.circuit.slice(0, 8)}=${permit}`,
    async used(redirect) {
      const url = await minted(site, own.circuit, redirect);
      await open(site, url);
      return url;
    },
  };
}

/** What became of a wish: anything else is a fault. */
export type Outcome = "refused" | "its own" | `fault: ${string}`;

type Way = (target: string, stops: Stops) => Promise<Outcome>;

export const WAYS: Record<string, Way> = {
  "in the body of POST /v2/proxy/auth": async (redirect, { site, own, origin }) => {
    const told = await site.manager.auth(own.token, own.session, { redirect });
    return told.status === 400 ? "refused" : follow(site, String(told.body["redirect_url"]), origin);
  },
  "in the query of GET /v2/proxy/auth": async (redirect, { site, own, origin }) => {
    const told = await site.manager.call("GET", `/v2/proxy/auth?${query(own, redirect)}`, undefined, JSON_PLEASE);
    return told.status === 400 ? "refused" : follow(site, String(told.body["redirect_url"]), origin);
  },
  "in the older call": async (redirect, { site, own, origin }) => {
    const path = `/v2/proxy/${own.token}/${own.session}/add?${query(own, redirect)}`;
    const told = await site.manager.call("GET", path);
    if (told.status === 400) return "refused";
    const url = String(told.body["url"]);
    if (!url.startsWith(`${site.manager.baseUrl}/v2/proxy/auth?`)) return `fault: the older call leads to ${url}`;
    const next = await site.manager.call("GET", url.slice(site.manager.baseUrl.length), undefined, JSON_PLEASE);
    return next.status === 400 ? "refused" : follow(site, String(next.body["redirect_url"]), origin);
  },
  "in a setup token": async (redirect, { site, own, origin }) =>
    follow(site, await minted(site, own.circuit, redirect), origin),
  "in a ticket": (path, { site, own, origin }) => {
    const claims = { uid: USER, cid: own.circuit, jti: crypto.randomUUID(), path };
    return follow(site, `${origin}/_appproxy/enter?t=${permits.ticket(claims, now())}`, origin);
  },
  "to a circuit that is open to everybody": async (redirect, { site, everybodys, everybodysOrigin }) =>
    follow(site, await minted(site, everybodys.circuit, redirect), everybodysOrigin),
  "with a permit, by a link that was used": async (redirect, { site, origin, permit, used }) =>
    follow(site, await used(redirect), origin, `Cookie: ${permit}\r\n`),
  "over a page that clears the slot": async (redirect, { site, recycled, recycledOrigin }) =>
    follow(site, await minted(site, recycled.circuit, redirect), recycledOrigin, "Sec-Fetch-Mode: navigate\r\n"),
  "by a Host of somebody else's": async (redirect, { site, own, origin }) => {
    const answer = await open(site, await minted(site, own.circuit, redirect), { host: "evil.example" });
    return answer.status === 400 ? "refused" : (leadsTo(answer, origin).fault ?? "its own");
  },
};

/** The links of a page of ours. */
export function linksIn(html: string): string[] {
  const found: string[] = [];
  const rewriter = new HTMLRewriter().on("a", { element: (one) => void found.push(one.getAttribute("href") ?? "") });
  rewriter.transform(html);
  return found.map(unescaped);
}

// --- internal ---

const JSON_PLEASE = { Accept: "application/json" };
const now = () => Math.floor(Date.now() / 1000);

function query({ token, session }: App, redirect: string): string {
  return new URLSearchParams({ app: "jupyter", protocol: "http", token, session_id: session, redirect }).toString();
}

/** What an earlier version, or the original, may have put into a link. */
async function minted({ nodes: [node], apiPort }: Site, circuit: string, redirect: string): Promise<string> {
  const claims = { id: crypto.randomUUID(), circuit, redirect };
  const token = await mintSetupToken(claims, JWT_SECRET, crypto.randomUUID(), Date.now());
  return `http://${node}:${apiPort}/setup?token=${token}`;
}

async function originOf(site: Site, { circuit }: Pick<App, "circuit">): Promise<string> {
  const answer = await open(site, await minted(site, circuit, "/"));
  return new URL(answer.get("location") ?? "").origin;
}

/** Goes on until nothing leads on. */
async function follow(site: Site, start: string, origin: string, lines = ""): Promise<Outcome> {
  for (let url = start, hops = 0; ; hops++) {
    // Who has come to the circuit's own page is there.
    if (hops > 0 && !url.startsWith(`${origin}/_appproxy/`)) return "its own";
    if (hops > 3) return `fault: ${start} leads round in circles`;
    const answer = await open(site, url, { lines });
    if (answer.status === 400) return "refused";
    const { fault, next } = leadsTo(answer, origin);
    if (fault !== null) return fault;
    url = next;
  }
}

/** Where an answer leads, by its header or its page's link. */
function leadsTo({ url, status, pairs, body }: Answer, origin: string): { fault: Outcome | null; next: string } {
  const strange = pairs.filter(([name, value]) => !KNOWN.has(name.toLowerCase()) || !/^[\x20-\x7e]*$/.test(value));
  const leads = pairs.filter(([name]) => name.toLowerCase() === "location").map(([, value]) => value);
  if (status === 200) leads.push(...linksIn(body));
  const [lead = ""] = leads;
  // As a browser does: relative to what it has asked for.
  const to = URL.canParse(lead, url) ? new URL(lead, url) : null;
  const isOwn = to?.origin === origin && to.username === "" && to.password === "";
  const isPlain = strange.length === 0 && !(status === 200 && /<base|<script[^>]*src|http-equiv/i.test(body));
  const isGood = leads.length === 1 && isOwn && isPlain;
  return {
    fault: isGood ? null : `fault: ${status} leads to ${JSON.stringify(leads)} ${JSON.stringify(strange)}`,
    next: to?.href ?? "",
  };
}

/** What an answer that leads on may have in its head. */
const KNOWN: ReadonlySet<string> = new Set([
  "location", "cache-control", "referrer-policy", "set-cookie", "date", "connection", "content-length", "content-type", "content-language",
  "access-control-allow-origin", "access-control-expose-headers", "content-security-policy", "x-content-type-options",
  "clear-site-data", "alt-svc", "nel", "report-to", "keep-alive",
]); // prettier-ignore

function unescaped(text: string): string {
  const named: Record<string, string> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'" };
  return text.replace(/&(amp|lt|gt|quot|#39);/g, (one) => named[one] ?? one);
}
