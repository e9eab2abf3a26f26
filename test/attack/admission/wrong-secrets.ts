/** Secrets of which one character is wrong, each in its turn: whoever tries them must not learn which. */
import { API_SECRET } from "../../support/manager.ts";
import { mintSetupToken } from "../../../shared/protocol/jwt.ts";
import { JWT_SECRET } from "../../support/manager.ts";
import { MARK } from "./counter.ts";
import type { Knocked } from "./circuits.ts";
import { named } from "./credentials.ts";
import { later, now, type Door } from "./door.ts";
import { changed, jwt, longPermits, permits, reclaimed } from "./forgery.ts";
import { speak, textOf } from "./speak.ts";

/** Each different answer to these requests for a target. */
async function answersTo(port: number, host: string, requests: readonly [target: string, lines: string][]) {
  const seen = new Set<string>();
  for (const [target, lines] of requests) {
    const bytes = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${MARK}: wrong\r\n${lines}\r\n`;
    const [said] = await speak(port, false, [{ method: "GET", bytes }]);
    seen.add(said?.kind === "answered" ? textOf(said) : String(said?.kind));
  }
  return [...seen];
}

/** The same text with each character changed, from one place on. */
function eachChanged(text: string, from = 0): string[] {
  return Array.from({ length: text.length - from }, (_, at) => changed(text, from + at));
}

type Answers = Record<string, string[]>;

/** What wrong permits, tickets and tokens are answered with at a worker. */
export async function wrongAtWorker(private_: Knocked, service: Knocked, apiPort: number): Promise<Answers> {
  const { door, to } = private_;
  const { user, circuit, cookie } = door;
  const permit = permits.issue(user, circuit, now(), 3600);
  const long = longPermits.issue(user, circuit, now(), 3600);
  const ticket = permits.ticket({ uid: user, cid: circuit, jti: crypto.randomUUID(), path: "/" }, now());
  const token = jwt({ id: service.door.circuit, exp: later() });
  const claims = { id: crypto.randomUUID(), circuit, redirect: "/" };
  const setup = await mintSetupToken(claims, JWT_SECRET, crypto.randomUUID(), Date.now());
  const wrongPermits = [...eachChanged(permit), ...eachChanged(long), reclaimed(long, { uid: "x" }), "", "x"];
  const wrongTickets = [...eachChanged(ticket), reclaimed(ticket, { exp: later() }), ""];
  const wrongSetups = [...eachChanged(setup), reclaimed(setup, { exp: later() }), "x.y.z"];
  return {
    permits: await answersTo(to.port, to.host, wrongPermits.map((one) => ["/", `Cookie: ${cookie}=${one}\r\n`])),
    tickets: await answersTo(to.port, to.host, wrongTickets.map((one) => [`/_appproxy/enter?t=${one}`, ""])),
    // Its header is public: what it says of itself may be answered.
    tokens: await answersTo(service.to.port, service.to.host, eachChanged(token, token.indexOf(".") + 1).filter((one) => one.split(".").length === 3).map((one) => ["/", `Authorization: Bearer ${one}\r\n`])),
    "setup tokens": await answersTo(apiPort, `127.0.0.1:${apiPort}`, wrongSetups.map((one) => [`/setup?token=${one}`, ""])),
  };
} // prettier-ignore

/** What wrong secrets of the API are answered with at a coordinator. */
export async function wrongAtCoordinator(baseUrl: string): Promise<Answers> {
  const { port, host } = new URL(baseUrl);
  const secrets = [...eachChanged(API_SECRET), API_SECRET.slice(0, -1), `${API_SECRET}x`, API_SECRET.toUpperCase(), "x", ""]; // prettier-ignore
  const token = jwt({ exp: later() }, { secret: API_SECRET });
  const tokens = [...eachChanged(token), jwt({ exp: later() }), jwt({ exp: 1 }, { secret: API_SECRET }), jwt({}, { secret: API_SECRET }), API_SECRET, "x"]; // prettier-ignore
  const at = (lines: string): [string, string] => ["/api/circuits", lines];
  return {
    secrets: await answersTo(Number(port), host, secrets.map((one) => at(`X-BackendAI-Token: ${one}\r\n`))),
    tokens: await answersTo(Number(port), host, tokens.map((one) => at(`Authorization: Bearer ${one}\r\n`))),
  };
} // prettier-ignore

/** What lets in, so that a test knows that it asks what it means to ask. */
export async function rightAnswer({ to, door }: { to: Knocked["to"]; door: Door }, credential: string) {
  const lines = named(credential).lines(door).map(([name, value]) => `${name}: ${value}\r\n`); // prettier-ignore
  return answersTo(to.port, to.host, [["/", lines.join("")]]);
}
