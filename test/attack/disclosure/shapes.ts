/** Requests with secrets in every place, by seed: which door, what stands where, how it is written, what is wrong with it. */
import type { Random } from "../../faults/random.ts";
import { freshAddress } from "../../support/from-address.ts";
import { Hand } from "./hand.ts";
import { malformed, proxied, type Bytes } from "./odd-bytes.ts";
import {
  ACCEPTS,
  METHODS,
  admittedLines,
  body,
  encoded,
  ourCookies,
  ownTarget,
  secretLines,
  target,
} from "./places.ts";
import type { Shot } from "./shoot.ts";
import { NOBODYS_NAME, written, type Door, type World } from "./world.ts";

/** A shot, and what is to be known of it when something is found. */
export interface Made {
  shape: string;
  door: Door;
  shot: Shot;
}

/** The next request. */
export function make(random: Random, world: World): Made {
  const { shape } = random.weighted(SHAPES);
  const door = random.pick(world.doors.filter(DOORS[shape]));
  const hand = new Hand(random, world, door, shape);
  const { from = freshAddress(), ...shot } = MAKERS[shape](hand);
  return { shape, door, shot: { port: door.port, tls: door.tls ?? false, from, ...shot } };
}

// --- internal ---

type Shape = "refused" | "admitted" | "websocket" | "api" | "opened" | "malformed" | "bytes" | "proxied";

const SHAPES: { shape: Shape; weight: number }[] = [
  { shape: "refused", weight: 32 },
  { shape: "admitted", weight: 20 },
  { shape: "websocket", weight: 10 },
  { shape: "api", weight: 18 },
  { shape: "opened", weight: 2 },
  { shape: "malformed", weight: 10 },
  { shape: "bytes", weight: 4 },
  { shape: "proxied", weight: 4 },
];

const DOORS: Record<Shape, (door: Door) => boolean> = {
  // To a public app everything goes.
  refused: ({ kind, name }) => kind !== "tcp" && !name.includes("public"),
  // What takes no connection takes ten seconds of everybody's: those are asked for by name (disclosure.test.ts).
  admitted: ({ kind, name }) => kind === "app" && name !== SLOW,
  websocket: ({ kind, name }) => kind === "app" && name !== SLOW,
  api: ({ kind }) => kind === "coordinator",
  opened: ({ kind }) => kind === "coordinator",
  malformed: () => true,
  bytes: ({ kind }) => kind === "tcp",
  proxied: ({ kind, name }) => kind === "tcp" || (kind === "app" && name === "an app"),
};

const SLOW = "an app that takes no connection";

const MAKERS: Record<Shape, (hand: Hand) => Bytes> = {
  /** Nothing lets it in: marks and real secrets wherever. */
  refused(hand) {
    const { random, door } = hand;
    const value = (place: string) => (random.chance(0.3) ? hand.real() : hand.ours(place));
    const lines = [random.pick(ACCEPTS), ...secretLines(hand, value)];
    const ours = ourCookies(hand);
    if (ours.length > 0) lines.push(`Cookie: ${ours.join("; ")}`);
    const method = random.pick(METHODS);
    const whole = random.chance(0.05) ? `http://me:${hand.ours("userinfo")}@${door.host}` : "";
    const host = random.chance(0.05) ? random.pick([NOBODYS_NAME, `${hand.ours("Host")}.example`, "", `me:${hand.ours("userinfo in Host")}@${door.host}`]) : door.host; // prettier-ignore
    const what = random.chance(0.6) ? target(hand, value("a query")) : ownTarget(hand, value("a path"));
    const hasBody = ["POST", "PUT", "PATCH"].includes(method) && random.chance(0.7);
    if (hasBody) lines.push("Content-Type: application/json");
    // Whom a trusted proxy tells is believed. (Where a PROXY header is wanted, nothing of theirs would be read.)
    const from = (door.kind === "api" || door.tls === true) && random.chance(0.2) ? { from: `127.8.1.${random.between(1, 250)}` } : {}; // prettier-ignore
    return {
      ...from,
      bytes: written({ method, target: whole + what, host, lines, body: hasBody ? body(hand, value) : "" }),
    };
  },

  admitted(hand) {
    const { random, door } = hand;
    const own = (place: string) => hand.own(place);
    const lines = [random.pick(ACCEPTS), ...secretLines(hand, own).filter((line) => !/^(authorization|cookie|expect|upgrade|te|origin):/i.test(line)), ...admittedLines(hand)]; // prettier-ignore
    const message = { target: target(hand, own("a query")), host: door.host };
    if (random.chance(0.1)) {
      // What may not stand in trailers: cookies of ours, and what lets in.
      const trailers = `Cookie: ${[...ourCookies(hand), `appproxy_permit=${hand.ours("a trailer")}`].join("; ")}\r\nAuthorization: Bearer ${hand.ours("a trailer")}\r\n`; // prettier-ignore
      const head = written({ ...message, method: "POST", lines: [...lines, "Transfer-Encoding: chunked", "Trailer: Cookie"] }); // prettier-ignore
      return { bytes: `${head}3\r\nabc\r\n0\r\n${trailers}\r\n` };
    }
    const method = random.pick(["GET", "GET", "POST", "PUT", "DELETE", "HEAD"]);
    return {
      bytes: written({ ...message, method, lines, body: ["POST", "PUT"].includes(method) ? body(hand, own) : "" }),
    };
  },

  websocket(hand) {
    const { random, door } = hand;
    const lets = random.chance(0.6);
    const place = (what: string) => (lets || door.name.includes("public") ? hand.own(what) : hand.ours(what));
    const lines = [
      "Upgrade: websocket",
      `Sec-WebSocket-Key: ${Buffer.from(place("Sec-WebSocket-Key").slice(0, 16)).toString("base64")}`,
      "Sec-WebSocket-Version: 13",
      ...(random.chance(0.6) ? [`Sec-WebSocket-Protocol: ${random.pick(["base64url.bearer.authorization.k8s.io.", "", "token."])}${place("a subprotocol")}`] : []), // prettier-ignore
      ...(random.chance(0.3) ? [`Sec-WebSocket-Extensions: x; token=${place("an extension")}`] : []),
      ...(random.chance(0.2) ? ["Origin: http://elsewhere.example"] : []),
      ...(lets ? admittedLines(hand) : secretLines(hand, place).filter((line) => !/^(upgrade|expect|te):/i.test(line))),
    ];
    const text = place("a WebSocket's frame");
    const frame = Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
    const head = written({ target: target(hand, place("a WebSocket's query")), host: door.host, lines });
    const bytes = head.replace("Connection: close", "Connection: Upgrade");
    return { bytes, frame: frame.toString("latin1"), patience: 4000 };
  },

  /** Calls with right, wrong and no secret. */
  api(hand) {
    const { random, world, door } = hand;
    const { services } = world;
    const value = (place: string) => (random.chance(0.15) ? hand.real() : hand.ours(place));
    const right = [`X-BackendAI-Token: ${services.secret("secrets.api_secret")}`, `X-BackendAI-Token: Bearer ${services.secret("secrets.api_secret")}`, `Authorization: Bearer ${world.apiTokens[0]}`]; // prettier-ignore
    const wrong = [`X-BackendAI-Token: ${value("X-BackendAI-Token")}`, `Authorization: Bearer ${world.apiTokens[1]}`, `Authorization: Bearer ${hand.jwt(value("a JWT"))}`, `X-BackendAI-Token: ${services.secret("secrets.api_secret").slice(0, -1)}`, `Authorization: Basic ${Buffer.from(`me:${value("Basic")}`).toString("base64")}`]; // prettier-ignore
    const auth = random.pick([right, right, wrong, [""]]);
    const id = random.pick([random.pick(world.circuits), random.uuid(), encoded(hand.ours("an id in a path"), random)]);
    const endpoint = random.pick([random.uuid(), encoded(hand.ours("an id in a path"), random)]);
    const [method, path] = random.pick<readonly [string, string]>([
      ...["POST", "GET"].map((one) => [one, "/v2/proxy/auth"] as const),
      ["POST", "/v2/conf"],
      ["GET", "/api/circuits"],
      ["GET", `/api/circuit/${id}`],
      ["GET", `/api/circuit/${id}/statistics`],
      ["DELETE", `/api/circuit/${random.uuid()}`],
      ["DELETE", "/api/circuit/_/bulk"],
      ["PUT", "/api/worker"],
      ["PATCH", `/api/worker/${id}`],
      ["GET", `/api/worker/${id}/circuits`],
      ["GET", "/api/worker"],
      ["GET", "/api/slots"],
      ["POST", `/v2/endpoints/${endpoint}`],
      ["POST", `/v2/endpoints/${endpoint}/token`],
      ["PUT", `/v2/endpoints/${endpoint}/health-check`],
      ["POST", "/v2/endpoints/bulk"],
      ["POST", "/v2/endpoints/bulk/routes"],
      ["POST", "/v2/endpoints/bulk/routes/register"],
      ["DELETE", "/v2/endpoints/bulk"],
      ["GET", "/v1/api/worker"],
      ["GET", `/health/circuits/${id}`],
    ]);
    const query = random.chance(0.5) ? target(hand, value("a query of a call")).replace(/^[^?#;%]*/, "").replace(/^(?!\?).*/, "") : ""; // prettier-ignore
    const override = random.chance(0.1) ? [`X-Method-Override: ${value("X-Method-Override")}`] : [];
    const lines = [random.pick(ACCEPTS), random.pick(auth), ...override, "Content-Type: application/json", ...secretLines(hand, value).filter((line) => !/^(authorization|x-backendai-token|content-type):/i.test(line))]; // prettier-ignore
    const hasBody = method !== "GET" && random.chance(0.85);
    return { bytes: written({ method, target: path + query, host: door.host, lines: lines.filter((one) => one !== ""), body: hasBody ? body(hand, value) : "" }) }; // prettier-ignore
  },

  /** All is right: the app is opened once more, by somebody who brings secrets of their own. */
  opened(hand) {
    const { random, world, door } = hand;
    const own = (place: string) => hand.own(place);
    const asked = { ...random.pick(world.again), app: "jupyter", protocol: "http", redirect: `/lab?token=${hand.own("redirect")}` }; // prettier-ignore
    const lines = [random.pick(ACCEPTS), ...secretLines(hand, own).filter((line) => !/^(content-type|x-method-override|expect|upgrade):/i.test(line))]; // prettier-ignore
    const [path, host] = ["/v2/proxy/auth", door.host];
    if (random.chance(0.5)) return { bytes: written({ target: `${path}?${new URLSearchParams(asked).toString()}`, host, lines }) }; // prettier-ignore
    lines.push("Content-Type: application/json");
    return { bytes: written({ method: "POST", target: path, host, lines, body: JSON.stringify(asked) }) };
  },

  malformed,

  bytes(hand) {
    const { door } = hand;
    const text = hand.own("bytes of TCP");
    return { bytes: `SSH-2.0-${text}\r\n`, from: door.from ?? freshAddress(), patience: 300 };
  },

  proxied,
};
