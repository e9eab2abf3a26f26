/** People who open links: each from an address of their own, at a node that they choose. All answers on the way are kept. */
import { readBody, parseHead } from "../../contract/message.ts";
import { askFrom, freshAddress } from "../../support/from-address.ts";
import { confBody } from "../../support/manager.ts";
import type { Node, Site } from "./site.ts";

export interface Answer {
  /** What was asked. */
  url: string;
  status: number;
  pairs: [name: string, value: string][];
  /** The value of a header's first line, or null. */
  get(name: string): string | null;
  body: string;
  /** The cookies that it sets. */
  cookies: string[];
}

export interface Way {
  node?: Node;
  from?: string;
  method?: string;
  /** More header lines, each with its end. */
  lines?: string;
  /** Another `Host` than the URL's. */
  host?: string;
}

/** What every answer on the way has (security 4). */
export const PRIVATE = [["cache-control", "no-store"], ["referrer-policy", "no-referrer"]] as const; // prettier-ignore

/** Answers of all people, since they were last looked at. */
const kept: Answer[] = [];

/** Those that lack a line of security 4; looks at each once. */
export function careless(): string[] {
  const without = kept.filter((one) => PRIVATE.some(([name, value]) => one.get(name) !== value));
  kept.length = 0;
  const shown = without.map(
    (one) => `${one.status} ${new URL(one.url).pathname}: ${PRIVATE.map(([name]) => one.get(name)).join(", ")}`,
  );
  return [...new Set(shown)];
}

/** Opens a URL at a node; null where nobody takes the connection, or a port that is just being closed ends it unread. */
export async function visit(site: Site, url: string, way: Way = {}): Promise<Answer | null> {
  const { node = site.nodes[0], from = freshAddress(), method = "GET", lines = "" } = way;
  // Not parsed: what stands in a link is sent as it is.
  const [, authority = "", target = ""] = /^http:\/\/([^/]+)(\/.*)$/.exec(url) ?? [];
  const host = way.host ?? authority;
  const bytes = `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${lines}\r\n`;
  const said = await askFrom(from, Number(authority.split(":")[1]), bytes, node).catch(refused);
  if (said === null || said === "") return null;
  const answer = await read(url, method, said);
  if (/^\/(setup|_appproxy\/)/.test(target)) kept.push(answer);
  return answer;
}

/** The same, where somebody has to answer. */
export async function open(site: Site, url: string, way: Way = {}): Promise<Answer> {
  const answer = await visit(site, url, way);
  if (answer === null) throw new Error(`nobody answers at ${url}`);
  return answer;
}

export interface Wish {
  domain?: "ours" | "theirs";
  user?: string;
  /** More of `/v2/proxy/auth`. */
  proxy?: Record<string, unknown>;
}

/** An app that was asked for; `link` leads to it. */
export interface App {
  circuit: string;
  link: string;
  token: string;
  session: string;
}

/** The platform's token for a session, with which its apps are opened. */
async function confToken(site: Site, { domain = "ours", user }: Wish = {}) {
  const id = crypto.randomUUID();
  const wish = { kernel_port: site.kernel().port, session_id: id, ...(user === undefined ? {} : { user_uuid: user }) };
  const body = confBody(wish);
  const told = await site.manager.call("POST", "/v2/conf", {
    ...body,
    session: { ...body.session, domain_name: domain },
  });
  if (told.status !== 200) throw new Error(`conf answered ${told.status}: ${JSON.stringify(told.body)}`);
  return { token: String(told.body["token"]), session: id };
}

export async function request(site: Site, wish: Wish = {}): Promise<App> {
  const { token, session } = await confToken(site, wish);
  const told = await site.manager.auth(token, session, { no_reuse: true, ...wish.proxy });
  if (told.status !== 200) throw new Error(`auth answered ${told.status}: ${JSON.stringify(told.body)}`);
  return { circuit: String(told.body["circuit_id"]), link: String(told.body["redirect_url"]), token, session };
}

/** Where a link leads: the second hop, with its ticket. */
export async function ticketOf(site: Site, link: string, way: Way = {}): Promise<string> {
  const answer = await open(site, link, way);
  const location = answer.get("location");
  if (answer.status !== 302 || location === null) throw new Error(`setup answered ${answer.status}: ${answer.body}`);
  return location;
}

// --- internal ---

async function read(url: string, method: string, said: string): Promise<Answer> {
  const end = said.indexOf("\r\n\r\n");
  if (end === -1) throw new Error(`no answer from ${url}: ${JSON.stringify(said.slice(0, 200))}`);
  const head = parseHead(said.slice(0, end));
  let rest = Buffer.from(said.slice(end + 4), "latin1");
  const take = (count: number) => {
    const taken = rest.subarray(0, count);
    rest = rest.subarray(count);
    return taken;
  };
  const source = {
    ended: "end" as const,
    text: () => rest.toString("latin1"),
    read: async (count: number) => take(count),
    readThrough: async (mark: string) => {
      const at = rest.indexOf(mark);
      return at === -1 ? null : take(at + mark.length).toString("latin1");
    },
    rest: async () => take(rest.length),
  };
  const body = (await readBody(source, head, method)).bytes.toString("utf8");
  const { status, pairs } = head;
  return { url, status, pairs, get: (name) => head.get(name), body, cookies: head.all("set-cookie") };
}

function refused(error: unknown): null {
  if (error instanceof Error && "code" in error && /ECONNRE(FUSED|SET)/.test(String(error.code))) return null;
  throw error;
}
