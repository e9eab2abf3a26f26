/** Events as text: their shape on the wire, what is read back, and which are not believed. */
import { describe, expect, test } from "bun:test";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../../shared/protocol/events.ts";
import { circuit, route } from "../../support/values.ts";

const SECRET = "an-api-secret-0123456789";
const codec = createCodec(SECRET, false);
const trusting = createCodec(SECRET, true);

const common = { source: "appproxy-coordinator", requestId: "req-1" } as const;
const circuits = { target_worker_authority: "w1", circuits: [circuit()], revision: 4, epoch: "e-1" };
const routes = { target_worker_authority: "w1", circuit: circuit(), routes: [route({ kernel_port: 9 })] };
const created: AppProxyEvent = { ...common, name: "appproxy_circuit_created_event", payload: circuits };

const EVENTS: AppProxyEvent[] = [
  created,
  { ...common, name: "appproxy_worker_circuit_added_event", source: "appproxy-worker", payload: circuits },
  { ...common, name: "appproxy_circuit_removed_event", payload: circuits, requestId: null },
  { ...common, name: "appproxy_circuit_route_updated_event", payload: routes },
  { ...common, name: "appproxy_circuit_probe_event", payload: circuits },
];

type Envelope = Record<"name" | "source" | "payload" | "metadata", string>;

function opened(text: string): Envelope {
  return JSON.parse(text) as Envelope;
}

/** An event as the original sends it. */
function unsigned(name: string, payload: unknown, metadata: unknown = { request_id: "r", user: null }): string {
  return JSON.stringify({
    name,
    source: "appproxy-coordinator",
    payload: JSON.stringify(payload),
    metadata: JSON.stringify(metadata),
  });
}

describe("on the wire", () => {
  const envelope = opened(codec.encode(created));

  test("an event has name, source, payload and metadata, all texts", () => {
    expect(envelope).toEqual({
      name: "appproxy_circuit_created_event",
      source: "appproxy-coordinator",
      payload: expect.any(String),
      metadata: expect.any(String),
    });
  });

  test("payload is JSON that ends with a mac, which older peers ignore", () => {
    expect(JSON.parse(envelope.payload)).toEqual({ ...circuits, mac: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(envelope.payload).toMatch(/,"mac":"[0-9a-f]{64}"\}$/);
  });

  test("metadata is JSON with the request's id and no user", () => {
    expect(JSON.parse(envelope.metadata)).toEqual({ request_id: "req-1", user: null, triggered_user: null });
    expect(JSON.parse(opened(codec.encode({ ...created, requestId: null })).metadata)).toEqual({
      request_id: null,
      user: null,
      triggered_user: null,
    });
  });
});

describe("read back", () => {
  test.each(EVENTS.map((event) => [event.name, event] as const))("%s is what was sent", (_name, event) => {
    const mac: unknown = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect<unknown>(codec.decode(codec.encode(event))).toEqual({ ...event, payload: { ...event.payload, mac } });
  });

  test("texts of any kind survive", () => {
    const odd = circuit({ app: 'a","mac":"x"}\u2028 한글', envs: { "a-b": { "c-d": 1 } } });
    const event: AppProxyEvent = { ...created, payload: { ...circuits, circuits: [odd] } };
    expect(codec.decode(codec.encode(event))).toMatchObject({ payload: { circuits: [odd] } });
  });
});

describe("not believed", () => {
  const text = codec.encode(created);
  const notSigned = "is not signed with our secret";
  const changed = (change: Partial<Envelope>) => JSON.stringify({ ...opened(text), ...change });

  test.each([
    ["one without a signature", unsigned(created.name, circuits)],
    ["one signed with another secret", createCodec("another-secret-0123456789", false).encode(created)],
    ["one whose content was changed", changed({ payload: opened(text).payload.replace('"w1"', '"w2"') })],
    ["one whose mac was changed", changed({ payload: opened(text).payload.replace(/"mac":"..../, '"mac":"0000') })],
    ["one with something after the mac", changed({ payload: `${opened(text).payload} ` })],
    ["one with a mac elsewhere", unsigned(created.name, { mac: "0".repeat(64), ...circuits })],
    ["a creation renamed to a removal", changed({ name: "appproxy_circuit_removed_event" })],
  ])("%s", (_what, forged) => {
    expect(() => codec.decode(forged)).toThrow(notSigned);
  });

  test("without a signature is believed only where that is configured", () => {
    expect<unknown>(trusting.decode(unsigned(created.name, circuits))).toEqual({ ...created, requestId: "r" });
  });
});

describe("broken", () => {
  test.each([
    ["text", "nonsense"],
    ["an envelope without payload", JSON.stringify({ name: created.name, source: "x", metadata: "{}" })],
    ["a payload that is no text", JSON.stringify({ name: created.name, source: "x", payload: circuits })],
    ["a payload that is no JSON", JSON.stringify({ name: created.name, source: "x", payload: "nonsense" })],
    ["a list", "[]"],
    ["nothing", "null"],
  ])("%s is an error", (_what, text) => {
    expect(() => trusting.decode(text)).toThrow();
  });

  test.each([
    ["no authority", { circuits: [] }, "payload/target_worker_authority"],
    ["a circuit without id", { ...circuits, circuits: [{ ...circuit(), id: undefined }] }, "payload/circuits/0/id"],
    ["a port out of range", { ...circuits, circuits: [circuit({ port: 70_000 })] }, "payload/circuits/0/port"],
    ["a revision that is text", { ...circuits, revision: "4" }, "payload/revision"],
  ])("%s is an error that names the field", (_what, payload, field) => {
    expect(() => trusting.decode(unsigned(created.name, payload))).toThrow(`event ${created.name}: ${field}: `);
  });

  test("the payload of another event is an error", () => {
    expect(() => trusting.decode(unsigned("appproxy_circuit_route_updated_event", circuits))).toThrow(
      "payload/circuit",
    );
  });
});

describe("from the original", () => {
  test.each(["session_started", "appproxy_endpoint_removed_event", "constructor", ""])(
    "an event with the name %p is not ours to read",
    (name) => {
      expect(codec.decode(unsigned(name, { any: "thing" }))).toBeNull();
    },
  );

  test("route keys with hyphens are read, and the user's variables stay as they are", () => {
    const kebab = Object.fromEntries(Object.entries(route()).map(([key, value]) => [key.replaceAll("_", "-"), value]));
    const envs = { "MY-VAR": { "in-ner": 1 } };
    const payload = {
      ...routes,
      circuit: { ...circuit({ envs }), "route-info": [kebab], route_info: undefined },
      routes: [kebab],
    };
    expect<unknown>(trusting.decode(unsigned("appproxy_circuit_route_updated_event", payload))).toEqual({
      ...common,
      name: "appproxy_circuit_route_updated_event",
      payload: { target_worker_authority: "w1", circuit: circuit({ envs }), routes: [route()] },
      requestId: "r",
    });
  });

  test("fields that we do not know are kept out of nobody's way", () => {
    const payload = { ...circuits, something: "new" };
    expect(trusting.decode(unsigned(created.name, payload))).toMatchObject({ payload: circuits });
  });

  test.each([
    [undefined, null],
    [null, null],
    [[], null],
    [{}, null],
    [{ request_id: null }, null],
    [{ request_id: 5 }, null],
    [{ request_id: "r-2" }, "r-2"],
  ])("metadata %j gives the request id %p", (metadata, expected) => {
    const text =
      metadata === undefined
        ? JSON.stringify({ name: created.name, source: "s", payload: JSON.stringify(circuits) })
        : unsigned(created.name, circuits, metadata);
    expect(trusting.decode(text)?.requestId).toBe(expected);
  });
});

describe("signed with several secrets", () => {
  const ring = (...secrets: string[]) => createCodec({ of: () => secrets, own: null }, false);
  const [A, B, C] = ["secret-a-0123456789", "secret-b-0123456789", "secret-c-0123456789"];
  const both = ring(A, B);

  test("each of them is enough, in any place, and no other", () => {
    for (const reader of [both, ring(B), ring(A), ring(C, B), ring(C, A), createCodec(A, false)])
      expect(reader.decode(both.encode(created))).toMatchObject({ payload: circuits });
    expect(() => ring(C).decode(both.encode(created))).toThrow("is not signed with our secret");
  });

  test("the last field is what an earlier version looks at: over all before it, with the first secret", () => {
    const { name, payload } = opened(both.encode(created));
    const [, before = "", mac] = /^(.*),"mac":"([0-9a-f]{64})"\}$/.exec(payload) ?? [];
    expect(mac).toBe(new Bun.CryptoHasher("sha256", A).update(`${name}\n${before}}`).digest("hex"));
    expect(JSON.parse(payload)).toEqual({ ...circuits, macs: [expect.stringMatching(/^[0-9a-f]{64}$/)], mac });
  });

  test("with one secret there is one signature", () => {
    expect(opened(ring(A).encode(created)).payload).toBe(opened(createCodec(A, false).encode(created)).payload);
  });

  test("sixteen are read", () => {
    const many = Array.from({ length: 18 }, (_, at) => `secret-number-${at}-0123456789`);
    expect(ring(many.at(-1) ?? "").decode(ring(...many).encode(created))).toMatchObject({ payload: circuits });
  });

  test.each([
    ["a changed payload", (payload: string) => payload.replace('"revision":4', '"revision":5')],
    ["signatures of another event", (payload: string) => payload.replace('"w1"', '"w2"')],
    ["a signature that is none", (payload: string) => payload.replace(/[0-9a-f]{64}/g, "0".repeat(64))],
  ])("not believed: %s", (_what, change) => {
    const { payload, ...rest } = opened(both.encode(created));
    const forged = JSON.stringify({ ...rest, payload: change(payload) });
    for (const reader of [both, ring(B)]) expect(() => reader.decode(forged)).toThrow("is not signed with our secret");
  });
});

describe("where each worker has a secret of its own", () => {
  const secretOf = (authority: string) => `the-secret-of-${authority}-0123456789`;
  const API = "an-api-secret-0123456789";
  const coordinator = createCodec({ of: (authority) => [API, secretOf(authority)], own: null }, false);
  const worker = (authority: string) => createCodec({ of: () => [secretOf(authority)], own: authority }, false);
  const about = (authority: string): AppProxyEvent => ({
    ...common,
    name: "appproxy_worker_circuit_added_event",
    source: "appproxy-worker",
    payload: { ...circuits, target_worker_authority: authority },
  });

  test("each hears the coordinator, and the coordinator each", () => {
    for (const name of ["w1", "w2"]) {
      expect(worker(name).decode(coordinator.encode(about(name)))).toMatchObject({ payload: { target_worker_authority: name } }); // prettier-ignore
      expect(coordinator.decode(worker(name).encode(about(name)))).toMatchObject({ payload: { target_worker_authority: name } }); // prettier-ignore
    }
  });

  test("of events about others nothing is said: their secrets are not known here", () => {
    expect(worker("w2").decode(coordinator.encode(about("w1")))).toBeNull();
    expect(() => worker("w1").decode(unsigned("appproxy_circuit_removed_event", circuits))).toThrow("is not signed with our secret"); // prettier-ignore
  });

  test("a worker can't sign for another, to nobody", () => {
    // What a taken worker can make: any text, signed with its own secret.
    const forger = createCodec({ of: () => [secretOf("w1")], own: null }, false);
    for (const reader of [coordinator, worker("w2")])
      expect(() => reader.decode(forger.encode(about("w2")))).toThrow("is not signed with our secret");
  });

  test("nor by a payload that says twice, or in two spellings, whom it is about", () => {
    const payload = JSON.stringify(circuits);
    for (const twice of [
      payload.replace(
        '"target_worker_authority":"w1"',
        '"target_worker_authority":"w1","target_worker_authority":"w2"',
      ),
      payload.replace(
        '"target_worker_authority":"w1"',
        '"target_worker_authority":"w1","target-worker-authority":"w2"',
      ),
      payload.replace(
        '"target_worker_authority":"w1"',
        '"target-worker-authority":"w2","target_worker_authority":"w1"',
      ),
    ]) {
      const name = "appproxy_worker_circuit_added_event";
      const mac = new Bun.CryptoHasher("sha256", secretOf("w1")).update(`${name}\n${twice}`).digest("hex");
      const forged = JSON.stringify({
        name,
        source: "x",
        payload: `${twice.slice(0, -1)},"mac":"${mac}"}`,
        metadata: "{}",
      });
      let heard: string | undefined;
      try {
        heard = coordinator.decode(forged)?.payload.target_worker_authority;
      } catch {
        heard = undefined; // refused
      }
      expect(heard).not.toBe("w2");
    }
  });
});
