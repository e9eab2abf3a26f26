/** The places of a request where secrets may stand, and how they are written there: targets, header lines, cookies, bodies. */
import type { Random } from "../../faults/random.ts";
import type { Hand } from "./hand.ts";

const NAMES = ["token", "Token", "%74oken", "tok%65n", "%2574oken", "t", "T", "auth", "access_token", "api_key", "apikey", "api-key", "key", "code", "sig", "signature", "X-Amz-Signature", "password", "passwd", "pwd", "secret", "client_secret", "jwt", "id_token", "refresh_token", "session", "sid", "token[]", "a.token", "$token", "permit", "appproxy_permit", "anything"]; // prettier-ignore
const PATHS = ["/", "/lab", "/lab/tree/a.ipynb", "//lab", "/a//b", "/api/kernels", "/setup", "/_appproxy/enter", "/%73etup", "//setup", "/health", "/metrics", "/api/circuits", "/v2/conf", "/v2/proxy/auth", "/status", "/swagger", "/login;a=1", "/%E2%80%A8", "/.", "/..", "/v1/api/slots"]; // prettier-ignore
export const METHODS = ["GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "QUERY", "PROPFIND", "TRACE", "CONNECT"]; // prettier-ignore
export const ACCEPTS = ["Accept: text/html", "Accept: application/json", "Accept: */*", "Accept: text/html,application/json;q=0.9", "Sec-Fetch-Mode: navigate"]; // prettier-ignore

/** As a value may be written in a URL. */
export function encoded(text: string, random: Random): string {
  const all = () => [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
  switch (random.between(0, 7)) {
    case 0:
      return all();
    case 1:
      return all().toUpperCase();
    case 2:
      return all().replaceAll("%", "%25");
    case 3:
      return text.replaceAll("-", "%2D").replaceAll(".", "%2E").replaceAll("_", "%5F");
    case 4:
      return `%${text.charCodeAt(0).toString(16)}${text.slice(1)}`;
    default:
      return text;
  }
}

/** A path and query, with a secret somewhere. `value` is how it reads. */
export function target({ random }: Hand, value: string): string {
  const [path, name, v] = [random.pick(PATHS), random.pick(NAMES), encoded(value, random)];
  const mark = random.pick(["?", "?", "?", "?", "%3F", "%253F", "#", "%23", ";"]);
  return random.pick([
    () => `${path}${mark}${name}=${v}`,
    () => `${path}?x=1&${name}=${v}`,
    () => `${path}?x=1;${name}=${v}`,
    () => `${path}?${name}=${v}&y=2&${name}=${v}`,
    () => `${path}?${v}`,
    () => `${path}?${name}%3D${v}`,
    () => `${path}?redirect=%2Fa%3F${name}%3D${v}`,
    () => `${path}?redirect=/a?${name}=${v}#${v}`,
    () => `${path}?url=https://me:${v}@elsewhere.example/?${name}=${v}`,
    () => `${path}??${name}=${v}`,
    () => `${path}?${name}`.concat(`==${v}`),
    () => `${path}?a=%ZZ&${name}=${v}`,
  ])();
}

/** Targets in which a secret of ours has its place in the path or in a query of ours. */
export function ownTarget(hand: Hand, token: string): string {
  const { random, world } = hand;
  const session = random.pick(world.sessions);
  // Only the case of a UUID means nothing.
  const loud = token.length === 36 ? token.toUpperCase() : token;
  const v = random.pick([token, loud, encoded(token, random), token.replaceAll("-", "%2d")]);
  const proxy = random.pick(["/v2/proxy", "/v2//proxy", "//v2/proxy", "/V2/Proxy", "/v2/%70roxy", "/v2/proxy/", "/v2/./proxy", "/v2%2Fproxy", "/x/../v2/proxy", "/v1/proxy"]); // prettier-ignore
  return random.pick([
    () => `${proxy}/${v}/${session}/add?app=a&protocol=http`,
    () => `${proxy}/${v}/${session}/delete?app=none-of-these`,
    // The other way round. What has the form of a session's id is told as one, whatever it is.
    () => `${proxy}/${session}/${hand.ours("a token in the place of the session")}/add`,
    () => `${proxy}/${v}`,
    () => `${proxy}/auth?token=${v}&session_id=${session}&app=a&protocol=nonesuch`,
    () => `${proxy}/auth?session_id=${v}&token=${session}&app=a&protocol=http`,
    () => `/setup?token=${v}`,
    () => `/setup?do-not-redirect=true&Token=${v}&token=${v}`,
    () => `/_appproxy/enter?t=${v}`,
    () => `/_appproxy/enter?x=1&t=${v}#${v}`,
    () => `/_appproxy//enter?t=${v}`,
    () => `/lab/${hand.jwt(v.slice(0, 20))}`,
    () => `/x/${hand.jwt(v.slice(0, 20)).replaceAll(".", "%2E")}/y`,
    () => `/a/token=${v}/b`,
    () => `/lab;token=${v}`,
    () => `/start?directTCP=true&auth=${v}&proto=tcp`,
  ])();
}

/** Header lines that hold a secret. `value` gives it for a place. */
export function secretLines(hand: Hand, value: (place: string) => string): string[] {
  const { random, door } = hand;
  const basic = (text: string) => Buffer.from(`me:${text}`).toString("base64");
  const all: (() => string)[] = [
    () => `Authorization: Bearer ${value("Authorization")}`,
    () => `Authorization: Bearer ${hand.jwt(value("Authorization, JWT"))}`,
    () => `Authorization: BackendAI  ${value("Authorization")}`,
    () => `Authorization: ${value("Authorization without a scheme")}`,
    () => `authorization: Basic ${basic(value("Authorization: Basic"))}`,
    () => `Authorization: Digest username="me", response="${value("Authorization: Digest")}"`,
    () => `Authorization: Token\t${value("Authorization, tab")}`,
    () => `Proxy-Authorization: Basic ${basic(value("Proxy-Authorization"))}`,
    () => `X-BackendAI-Token: ${value("X-BackendAI-Token")}`,
    () => `x-backendai-token: Bearer ${value("X-BackendAI-Token, prefix")}`,
    () => `X-Api-Key: ${value("X-Api-Key")}`,
    () => `X-Auth-Token: ${value("X-Auth-Token")}`,
    () => `X-XSRFToken: ${value("X-XSRFToken")}`,
    () => `Cookie: sid=${value("a cookie")}; _xsrf=${value("a cookie")}`,
    () => `Referer: http://elsewhere.example/a?token=${value("Referer")}`,
    () => `Referer: http://${door.host}/setup?token=${hand.jwt(value("Referer"))}`,
    () => `Origin: http://me:${value("Origin")}@elsewhere.example`,
    () => `User-Agent: curl (${value("User-Agent")})`,
    () => `Accept: text/html;token=${value("Accept")}`,
    () => `Accept-Language: ${value("Accept-Language")}`,
    () => `Content-Type: application/json; boundary=${value("Content-Type")}`,
    () => `Content-Type: ${value("Content-Type alone")}`,
    () => `X-Forwarded-For: ${value("X-Forwarded-For")}`,
    () => `X-Forwarded-Host: ${value("X-Forwarded-Host")}.example`,
    () => `X-Forwarded-Proto: ${value("X-Forwarded-Proto")}`,
    () => `Forwarded: for=1.2.3.4;secret=${value("Forwarded")}`,
    () => `X-Real-IP: ${value("X-Real-IP")}`,
    () => `X-Backend-Request-ID: ${value("a request id")} ${value("a request id")}`,
    () => `X-BackendAI-RequestID: ${hand.jwt(value("a request id"))}!`,
    () => `X-Method-Override: ${value("X-Method-Override")}`,
    () => `traceparent: 00-${value("traceparent")}-01`,
    () => `baggage: token=${value("baggage")}`,
    () => `Range: bytes=${value("Range")}`,
    () => `If-None-Match: "${value("If-None-Match")}"`,
    () => `Expect: ${value("Expect")}`,
    () => `TE: ${value("TE")}`,
    () => `Upgrade: ${value("Upgrade")}`,
    () => `Keep-Alive: ${value("Keep-Alive")}`,
    () => `${value("a header's name")}: 1`,
  ];
  return Array.from({ length: random.between(0, 4) }, () => random.pick(all)());
}

/** Cookies with the names of ours, good for nothing. */
export function ourCookies(hand: Hand): string[] {
  const { random, door } = hand;
  const name = () => random.pick(["appproxy_permit", `appproxy_permit_${random.uuid().slice(0, 8)}`, `__Host-${door.cookie ?? "appproxy_permit_01234567"}`, "appproxy_permit_x", "=appproxy_permit_x", "__Host-appproxy_permit", " appproxy_permit", "\tappproxy_permit", "appproxy_permit "]); // prettier-ignore
  const value = () => hand.ours("a permit's cookie");
  const one = () => `${name()}=${random.pick([value, () => `"${value()}"`, () => `v3.${value()}${value()}01234567`, () => `v2.${hand.jwt(value()).split(".").slice(1).join(".")}`, () => `${value()}==`])()}`; // prettier-ignore
  return Array.from({ length: random.between(0, 2) }, one);
}

/** The door's own credential with other cookies before and behind it: ours that are worth nothing, and the user's. */
export function admittedLines(hand: Hand): string[] {
  const { random, door } = hand;
  const users = () => (random.chance(0.5) ? [`sid=${hand.own("a cookie")}`] : []);
  return door.admits.map((line) => {
    if (!line.startsWith("Cookie: ")) return line;
    const [before, behind] = [
      [...ourCookies(hand), ...users()],
      [...ourCookies(hand), ...users()],
    ];
    return `${random.pick(["Cookie", "cookie", "COOKIE"])}: ${[...before, line.slice("Cookie: ".length), ...behind].join(random.pick(["; ", ";", " ; "]))}`; // prettier-ignore
  });
}

function json(hand: Hand, value: (place: string) => string): string {
  const { random, world } = hand;
  const word = () => random.pick<unknown>([value("a field"), [value("a list's entry")], { deep: value("a field inside") }, 5, null]); // prettier-ignore
  const session = { id: random.pick(world.sessions), user_uuid: random.uuid(), access_key: value("access_key"), domain_name: value("domain_name") }; // prettier-ignore
  const body: Record<string, unknown> = random.pick([
    () => ({ token: value("token"), session_id: word(), app: word(), protocol: word() }),
    () => ({ token: hand.token(value), session_id: random.pick(world.sessions), app: "a", protocol: "http", port: word(), redirect: word(), envs: word(), args: word(), open_to_public: word(), allowed_client_ips: value("allowed_client_ips"), allowed_origins: word(), subdomain: word() }), // prettier-ignore
    () => ({
      login_session_token: word(),
      kernel_host: word(),
      kernel_port: word(),
      session: { ...session, id: word() },
    }),
    () => ({ login_session_token: value("login_session_token"), kernel_host: `me:${value("kernel_host")}@127.0.0.1`, kernel_port: 80, session }), // prettier-ignore
    () => ({ login_session_token: value("login_session_token"), kernel_host: "8.8.8.8", kernel_port: 80, session }),
    () => ({ authority: value("authority"), api_secret: value("api_secret"), hostname: word(), port_range: word() }),
    () => ({ user_uuid: word(), exp: word() }),
    () => ({ endpoints: [{ deployment_id: random.uuid(), service_name: word(), tags: word(), secret: value("a field that is none") }, word()] }), // prettier-ignore
    () => ({ circuit_ids: [value("a circuit's id")], password: value("password") }),
    () => ({ health_check: { path: value("health_check.path"), interval: word() } }),
    () => ({ [value("a field's name")]: 1 }),
  ])();
  return JSON.stringify(body);
}

export function body(hand: Hand, value: (place: string) => string): string {
  const { random } = hand;
  return random.pick([
    () => json(hand, value),
    () => json(hand, value),
    () => json(hand, value),
    () => `{"token": "${value("a body that is cut")}`,
    () => `{"token"=${value("a broken body")}}`,
    () => `token=${value("a form")}&a=${value("a form")}`,
    () => value("a body that is a word"),
    () => `"${value("a body that is a text")}"`,
    () => `[{"a": ${value("a bare word in a list")}}]`,
    () => `<token>${value("XML")}</token>`,
  ])();
}
