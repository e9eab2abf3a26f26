/** Credentials that are, or pretend to be, permits. */
import { mintSetupToken } from "../../../shared/protocol/jwt.ts";
import { LEGACY_COOKIE } from "../../../worker/access/permit-cookie.ts";
import { API_SECRET, JWT_SECRET } from "../../support/manager.ts";
import { later, now, STRANGER, type Credential, type Door, type PermitWorth } from "./door.ts";
import { base64, changed, guessed, guessedLong, longPermits, permits, reclaimed } from "./forgery.ts";

type Text = (door: Door) => string;

const HOUR = 3600;

const own: Text = ({ user, circuit }) => permits.issue(user, circuit, now(), HOUR);
const long: Text = ({ user, circuit }) => longPermits.issue(user, circuit, now(), HOUR);
const ticket: Text = ({ user, circuit }) =>
  permits.ticket({ uid: user, cid: circuit, jti: crypto.randomUUID(), path: "/" }, now());
/** Good for its circuit, had it been made with the right key. */
const stolen = await mintSetupToken(
  { id: crypto.randomUUID(), circuit: crypto.randomUUID(), redirect: "/" },
  JWT_SECRET,
  crypto.randomUUID(),
  Date.now(),
);

/** Bytes of a compact permit that begin there, set to what they may not be. */
function stamped(from: number, bytes: readonly number[]): Text {
  return (door) => {
    const whole = Buffer.from(own(door).slice("v3.".length), "base64url");
    whole.set(bytes, from);
    return `v3.${whole.toString("base64url")}`;
  };
}

/** Texts in the cookie of the circuit. */
const VALUES: [name: string, worth: PermitWorth, text: Text][] = [
  ["a permit", "good", own],
  ["a permit in quotes", "good", (door) => `"${own(door)}"`],
  ["a permit of an earlier version", "good", long],
  ["another circuit's permit", "bad", ({ user, another }) => permits.issue(user, another, now(), HOUR)],
  ["another circuit's permit of an earlier version", "bad", ({ user, another }) => longPermits.issue(user, another, now(), HOUR)],
  ["the permit of the slot's last circuit", "bad", ({ user, former }) => permits.issue(user, former, now(), HOUR)],
  ["another person's permit", "bad", ({ circuit }) => permits.issue(STRANGER, circuit, now(), HOUR)],
  ["another person's permit of an earlier version", "bad", ({ circuit }) => longPermits.issue(STRANGER, circuit, now(), HOUR)],
  ["nobody's permit", "bad", ({ circuit }) => permits.issue("", circuit, now(), HOUR)],
  ["an expired permit", "bad", ({ user, circuit }) => permits.issue(user, circuit, now() - 2 * HOUR, HOUR)],
  ["a permit that has just expired", "bad", ({ user, circuit }) => permits.issue(user, circuit, now() - HOUR, HOUR)],
  ["an expired permit of an earlier version", "bad", ({ user, circuit }) => longPermits.issue(user, circuit, now() - 2 * HOUR, HOUR)],
  ["a permit with another signature", "bad", (door) => changed(own(door), -5)],
  ["a permit with the first byte of its signature changed", "bad", (door) => changed(own(door), "v3.".length + 22)],
  ["a permit that lives longer", "bad", stamped(12, [0xff, 0xff, 0xff, 0xff])],
  ["a permit issued elsewhere", "bad", stamped(4, [0, 0, 0, 1])],
  ["a permit issued later", "bad", stamped(8, [0xff, 0xff, 0, 0])],
  ["a permit with another key's id", "bad", stamped(0, [0, 0, 0, 0])],
  ["a permit with an empty signature", "bad", stamped(16, Array.from({ length: 20 }, () => 0))],
  ["a permit signed with a guessed secret", "bad", ({ user, circuit }) => guessed.issue(user, circuit, now(), HOUR)],
  ["a permit of an earlier version signed with a guessed secret", "bad", ({ user, circuit }) => guessedLong.issue(user, circuit, now(), HOUR)],
  ["a permit of an earlier version that lives longer", "bad", (door) => reclaimed(long(door), { exp: later() })],
  ["a permit of an earlier version with another key's id", "bad", (door) => reclaimed(long(door), { kid: "00000000" })],
  ["a permit of an earlier version without a signature", "bad", (door) => `${long(door).split(".").slice(0, 2).join(".")}.`],
  ["a permit of an earlier version with a signature too many", "bad", (door) => `${long(door)}.x`],
  ["a permit of a later version", "bad", (door) => own(door).replace("v3.", "v4.")],
  ["a permit under an older version's mark", "bad", (door) => own(door).replace("v3.", "v2.")],
  ["a permit that is cut", "bad", (door) => own(door).slice(0, -1)],
  ["a permit with something behind it", "bad", (door) => `${own(door)}A`],
  ["a permit with padding", "bad", (door) => `${own(door)}=`],
  ["a permit with half a quote", "bad", (door) => `"${own(door)}`],
  ["a permit in upper case", "bad", (door) => own(door).toUpperCase()],
  ["a permit in Base64", "bad", (door) => base64(own(door))],
  ["a permit with an escape", "bad", (door) => own(door).replace(".", "%2E")],
  ["a ticket for a permit", "bad", ticket],
  ["a ticket under a permit's mark", "bad", (door) => ticket(door).replace(/^t1/, "v2")],
  ["a setup token for a permit", "bad", () => stolen],
  ["the secret of the API for a permit", "bad", () => API_SECRET],
  ["the person's id for a permit", "bad", ({ user }) => user],
  ["the original's permit under the circuit's name", "bad", ({ user }) => permits.legacy(user)],
  ["an empty permit", "bad", () => ""],
  ["two quotes for a permit", "bad", () => '""'],
  ["null for a permit", "bad", () => "null"],
  ["a very long permit", "bad", () => `v2.${"A".repeat(6000)}.${"B".repeat(43)}`],
]; // prettier-ignore

/** Whole values of `Cookie`. */
const COOKIES: [name: string, worth: PermitWorth, text: Text][] = [
  ["a permit behind a bad one", "good", (door) => `${door.cookie}=old; ${door.cookie}=${own(door)}`],
  ["a permit before a bad one", "good", (door) => `${door.cookie}=${own(door)}; ${door.cookie}=old`],
  ["a permit without a space before it", "good", (door) => `a=1;${door.cookie}=${own(door)};b=2`],
  ["a permit among broken cookies", "good", (door) => `=; ;a;=x; ${door.cookie}=${own(door)}; "b`],
  ["another person's permit before another circuit's", "bad", (door) => `${door.cookie}=${permits.issue(STRANGER, door.circuit, now(), HOUR)}; ${door.cookie}=${permits.issue(door.user, door.another, now(), HOUR)}`],
  ["a permit under a name in other case", "none", (door) => `${door.cookie.replace("permit", "Permit")}=${own(door)}`],
  ["a permit under a longer name", "none", (door) => `${door.cookie}0=${own(door)}; x${door.cookie}=${own(door)}`],
  ["a permit under the name of all circuits", "none", (door) => `${LEGACY_COOKIE}=${own(door)}; ${LEGACY_COOKIE}_=${own(door)}`],
  ["a permit under the name that it has with or without TLS", "none", (door) => `${door.otherCookie}=${own(door)}`],
  ["another circuit's permit under its own name", "none", (door) => `${door.cookie.replace(/[^_]*$/, door.another.slice(0, 8))}=${permits.issue(door.user, door.another, now(), HOUR)}`],
  ["the original's permit", "none", ({ user }) => `${LEGACY_COOKIE}=${permits.legacy(user)}`],
  ["the original's permit in quotes", "none", ({ user }) => `${LEGACY_COOKIE}="${permits.legacy(user)}"`],
  ["a permit behind a comma", "none", (door) => `a=1, ${door.cookie}=${own(door)}`],
  ["a permit in another cookie's value", "none", (door) => `a="; b=${door.cookie}:${own(door)}"`],
  ["a bearer's header in a cookie", "none", (door) => `Authorization=Bearer ${own(door)}`],
]; // prettier-ignore

/** Where no permit counts. */
const ELSEWHERE: Pick<Credential, "name" | "token" | "lines" | "query">[] = [
  { name: "a permit in the query", token: "none", lines: () => [], query: (door) => `${door.cookie}=${own(door)}` },
  { name: "a ticket in the query", token: "none", lines: () => [], query: (door) => `t=${ticket(door)}` },
  { name: "a setup token in the query", token: "none", lines: () => [], query: () => `token=${stolen}` },
  { name: "a permit in Authorization", token: "formless", lines: (door) => [["Authorization", `Bearer ${own(door)}`]] },
  { name: "a permit in Cookie2", token: "none", lines: (door) => [["Cookie2", `${door.cookie}=${own(door)}`]] },
  { name: "a permit in Set-Cookie", token: "none", lines: (door) => [["Set-Cookie", `${door.cookie}=${own(door)}`]] },
  { name: "a permit in Cookie with a name beside it", token: "none", lines: (door) => [["X-Cookie", `${door.cookie}=${own(door)}`]] },
]; // prettier-ignore

/** The original's cookie where that counts (`permit.accept_legacy`). */
const LEGACY: [name: string, worth: PermitWorth, value: Text][] = [
  ["the original's permit", "good", ({ user }) => permits.legacy(user)],
  ["the original's permit in quotes", "good", ({ user }) => `"${permits.legacy(user)}"`],
  ["the original's permit behind another one", "good", ({ user }) => `x; ${LEGACY_COOKIE}=${permits.legacy(user)}`],
  ["the original's permit of another person", "bad", () => permits.legacy(STRANGER)],
  ["the original's permit of nobody", "bad", () => permits.legacy("")],
  ["the original's permit by a guessed secret", "bad", ({ user }) => guessed.legacy(user)],
  ["the original's permit in other case", "bad", ({ user }) => permits.legacy(user).toLowerCase()],
  ["the original's permit that is cut", "bad", ({ user }) => permits.legacy(user).slice(0, -4)],
  ["the original's permit, decoded", "bad", ({ user }) => Buffer.from(permits.legacy(user), "base64").toString()],
  ["a permit under the original's name", "bad", own],
  ["the person's id under the original's name", "bad", ({ user }) => user],
  ["nothing under the original's name", "bad", () => ""],
]; // prettier-ignore

export function legacyCredentials(): Credential[] {
  return LEGACY.map(([name, permit, value]): Credential => {
    return { name, permit, token: "none", lines: (door) => [["Cookie", `${LEGACY_COOKIE}=${value(door)}`]] };
  });
}

export function cookieCredentials(): Credential[] {
  const inCookie = (text: Text) => (door: Door) => [["Cookie", text(door)]] as [string, string][];
  return [
    ...VALUES.map(([name, permit, text]): Credential => {
      return { name, permit, token: "none", lines: inCookie((door) => `${door.cookie}=${text(door)}`) };
    }),
    ...COOKIES.map(([name, permit, text]): Credential => ({ name, permit, token: "none", lines: inCookie(text) })),
    ...ELSEWHERE.map((one): Credential => ({ ...one, permit: "none" })),
    {
      name: "a permit in a second line of Cookie",
      permit: "good",
      token: "none",
      lines: (door) => [["Cookie", `${door.cookie}=old`], ["Cookie", `${door.cookie}=${own(door)}`]], // prettier-ignore
    },
  ];
}
