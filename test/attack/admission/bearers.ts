/** Credentials that are, or pretend to be, tokens of a model service. */
import { API_SECRET, JWT_SECRET, PERMIT_SECRET } from "../../support/manager.ts";
import { later, now, type Credential, type Door, type TokenWorth } from "./door.ts";
import { base64, changed, HS256, jwt, PUBLIC_KEY, reclaimed, rsaSigned, unsigned } from "./forgery.ts";

type Text = (door: Door) => string;

const claims = ({ circuit }: Door) => ({ id: circuit, exp: later() });
const own: Text = (door) => jwt(claims(door));
const others: Text = ({ another }) => jwt({ id: another, exp: later() });
const headed = (header: object, secret?: string): Text => {
  return (door) => jwt(claims(door), secret === undefined ? { header } : { header, secret });
};

/** Behind `Bearer `. */
const TOKENS: [name: string, worth: TokenWorth, text: Text][] = [
  ["a token", "good", own],
  ["a token with a key's id", "good", headed({ ...HS256, kid: "1" })],
  ["another service's token", "another's", others],
  ["a token for the beginning of the circuit's id", "another's", ({ circuit }) => jwt({ id: circuit.slice(0, 8), exp: later() })],
  ["a token for nothing", "another's", () => jwt({ exp: later() })],
  ["a setup token", "another's", ({ circuit }) => jwt({ id: crypto.randomUUID(), circuit, redirect: "/", jti: crypto.randomUUID(), exp: now() + 60 })],
  ["an expired token", "expired", ({ circuit }) => jwt({ id: circuit, exp: now() - 60 })],
  ["an expired token of another service", "expired", ({ another }) => jwt({ id: another, exp: now() - 60 })],
  ["a token without an end", "endless", ({ circuit }) => jwt({ id: circuit })],
  ["a token whose end is text", "endless", ({ circuit }) => jwt({ id: circuit, exp: String(later()) })],
  ["a token whose end never comes", "formless", ({ circuit }) => jwt(`{"id":"${circuit}","exp":1e309}`)],
  ["a token that says alg none", "formless", (door) => `${unsigned(claims(door), { alg: "none" })}.`],
  ["a signed token that says alg none", "formless", headed({ alg: "none" })],
  ["a signed token that says alg None", "formless", headed({ alg: "None", typ: "JWT" })],
  ["a token with another digest", "formless", (door) => jwt(claims(door), { header: { alg: "HS512" }, digest: "sha512" })],
  ["a token with a key pair's signature", "formless", (door) => rsaSigned(claims(door))],
  ["a token without a header's alg", "formless", headed({ typ: "JWT" })],
  ["a token with an extension that counts", "formless", headed({ ...HS256, crit: ["exp2"], exp2: 1 })],
  ["a token of five parts", "formless", (door) => `${own(door)}.x.y`],
  ["a token of two parts", "formless", (door) => own(door).split(".").slice(0, 2).join(".")],
  ["a token with padding", "formless", (door) => `${own(door)}=`],
  ["two tokens", "formless", (door) => `${own(door)}, Bearer ${others(door)}`],
  ["no token behind the scheme", "formless", () => ""],
  ["a token that is too long", "formless", (door) => jwt({ ...claims(door), more: "x".repeat(4096) })],
  ["a token whose claims are no object", "formless", () => jwt("[]")],
  ["a token signed with a public key", "forged", (door) => jwt(claims(door), { secret: PUBLIC_KEY })],
  ["a token signed with nothing", "forged", (door) => jwt(claims(door), { secret: "" })],
  ["a token signed with a guessed secret", "forged", (door) => jwt(claims(door), { secret: "guessed-jwt-secret-0123" })],
  ["a token signed with the secret of the API", "forged", (door) => jwt(claims(door), { secret: API_SECRET })],
  ["a token signed with the secret of permits", "forged", (door) => jwt(claims(door), { secret: PERMIT_SECRET })],
  ["a token signed with its secret in other case", "forged", (door) => jwt(claims(door), { secret: JWT_SECRET.toUpperCase() })],
  ["a token whose key is a file", "forged", headed({ ...HS256, kid: "../../../../dev/null" }, "")],
  ["a token whose key is in it", "forged", headed({ ...HS256, jwk: { kty: "oct", k: base64("mine") } }, "mine")],
  ["a token whose key is elsewhere", "forged", headed({ ...HS256, jku: "http://127.0.0.1:1/", x5u: "http://127.0.0.1:1/" }, "mine")],
  ["another service's token made this one's", "forged", (door) => reclaimed(others(door), { id: door.circuit })],
  ["an expired token made longer", "forged", (door) => reclaimed(jwt({ id: door.circuit, exp: now() - 60 }), { exp: later() })],
  ["a forged token that has expired", "forged", ({ circuit }) => jwt({ id: circuit, exp: 1 }, { secret: "guessed-jwt-secret-0123" })],
  ["a forged token of another service", "forged", ({ another }) => jwt({ id: another, exp: later() }, { secret: "guessed-jwt-secret-0123" })],
  ["a forged token without an end", "forged", ({ circuit }) => jwt({ id: circuit }, { secret: "guessed-jwt-secret-0123" })],
  ["a token with another signature", "forged", (door) => changed(own(door), -5)],
  ["a token whose signature is cut", "forged", (door) => own(door).slice(0, -4)],
]; // prettier-ignore

/** Whole values of `Authorization`. */
const LINES: [name: string, worth: TokenWorth, text: Text][] = [
  ["a token under the platform's scheme", "good", (door) => `BackendAI ${own(door)}`],
  ["a token under a scheme in other case", "good", (door) => `bEARER ${own(door)}`],
  ["a token behind two spaces", "good", (door) => `Bearer  ${own(door)}`],
  ["a token under Basic", "scheme", (door) => `Basic ${own(door)}`],
  ["a token without a scheme", "scheme", own],
  ["a token behind a colon", "scheme", (door) => `Bearer: ${own(door)}`],
]; // prettier-ignore

/** Where no token counts. */
const ELSEWHERE: Pick<Credential, "name" | "lines" | "query">[] = [
  { name: "a token in the query", lines: () => [], query: (door) => `token=${own(door)}&access_token=${own(door)}&api_key=${own(door)}` },
  { name: "a token in a cookie", lines: (door) => [["Cookie", `Authorization=${own(door)}; token=${own(door)}`]] },
  { name: "a token in a proxy's header", lines: (door) => [["Proxy-Authorization", `Bearer ${own(door)}`]] },
  { name: "a token in headers of others", lines: (door) => [["X-Authorization", `Bearer ${own(door)}`], ["X-Api-Key", own(door)]] },
  { name: "an empty Authorization", lines: () => [["Authorization", ""]] },
]; // prettier-ignore

export function bearerCredentials(): Credential[] {
  const line = (text: Text) => (door: Door) => [["Authorization", text(door)]] as [string, string][];
  return [
    ...TOKENS.map(([name, token, text]): Credential => {
      return { name, token, permit: "none", lines: line((door) => `Bearer ${text(door)}`) };
    }),
    ...LINES.map(([name, token, text]): Credential => ({ name, token, permit: "none", lines: line(text) })),
    ...ELSEWHERE.map((one): Credential => ({ ...one, permit: "none", token: "none" })),
    {
      name: "a good and a bad line of Authorization",
      permit: "none",
      token: "formless",
      lines: (door) => [["Authorization", `Bearer ${own(door)}`], ["Authorization", "Bearer x.y.z"]], // prettier-ignore
    },
  ];
}
