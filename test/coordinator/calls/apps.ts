/** The Manager's announcement of a kernel, and what a person's client does with its token. */
import { expect } from "bun:test";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import { confBody, newKernel } from "../../support/manager.ts";
import { expectProblem, NOBODY, type Plan } from "./plan.ts";
import type { Given, Input, Stage } from "./stage.ts";

type Apps = "configure" | "whereToOpen" | "open" | "openByQuery" | "close";

/** With a user's own keys, and arguments that could be taken for JSON. */
const WISH = {
  app: "jupyter",
  protocol: "http",
  envs: { "MY-KEY": { "inner-key": "1" }, OTHER_KEY: 2 },
  args: '{"not":"read"}',
  redirect: "/lab?x=1",
} as const;
const UNKNOWN_TOKEN = "token";
const BAD_REDIRECT = "redirect: wanted a path that starts with a single / and has no backslash or control character";

export const apps: { [N in Apps]: Plan<N> } = {
  configure: {
    good: async () => ({ body: confBody(newKernel()) }),
    async so({ token }, { body }, stage) {
      const wish = { token, session_id: body.session.id ?? "", app: "jupyter", protocol: "http" } as const;
      const { circuit_id: id } = await stage.client.open({ body: wish });
      const { user_id: user, route_info: routes } = await stage.client.getCircuit({ circuit_id: id });
      expect([user, routes[0]?.session_id, routes[0]?.kernel_port]).toEqual([
        body.session.user_uuid,
        wish.session_id,
        1,
      ]);
    },
    same: () => "another token",
    refused: [
      {
        kind: "invalid-api-params",
        what: "a port of 0 and an empty host",
        msg: 'kernel_host: wanted text of length from 1 to 255, got ""; kernel_port: wanted an integer from 1 to 65535, got 0',
        spoil: ({ body }) => ({ body: { ...body, kernel_port: 0, kernel_host: "" } }),
      },
      {
        kind: "invalid-api-params",
        what: "no session id",
        msg: "Not meant for inference apps (session.id: wanted a UUID, got none)",
        spoil: ({ body }) => ({ body: { ...body, session: { ...body.session, id: null } } }),
      },
    ],
    others: [
      {
        place: "usual",
        status: 421,
        what: "a name that is another's, without the secret",
        ask: async () => ({ body: confBody(newKernel()) }),
        headers: () => ({ Host: "rebound.example" }),
        says: (answer) => expectProblem(answer, "misdirected-request", /^Host: wanted .*, got "rebound\.example"$/),
      },
    ],
  },

  whereToOpen: {
    good: async (stage) => ({ ...(await stage.token()), query: WISH }),
    so({ url }, { token, session_id }, stage) {
      const { origin, pathname, searchParams } = new URL(url);
      expect(origin + pathname).toBe(`${stage.manager.baseUrl}/v2/proxy/auth`);
      expect(Object.fromEntries(searchParams)).toMatchObject({
        ...WISH,
        envs: JSON.stringify(WISH.envs),
        token,
        session_id,
      });
    },
    refused: [
      {
        kind: "invalid-api-params",
        what: "an unknown protocol",
        msg: 'protocol: wanted one of http, grpc, h2, tcp, preopen, vnc, rdp, got "gopher"',
        spoil: (good) => ({ ...good, query: { ...WISH, protocol: "gopher" } }),
      },
      {
        kind: "invalid-api-params",
        what: "a token that is no UUID, which is not repeated",
        msg: "token: wanted a UUID, got [hidden]",
        spoil: (good) => ({ ...good, token: "my-secret-token" }),
      },
    ],
  },

  open: opening<"open">((wish) => ({ body: wish })),
  openByQuery: opening<"openByQuery">((wish) => ({ query: wish })),

  close: {
    async good(stage) {
      const { token, session_id } = await stage.token();
      await stage.client.open({ body: { token, session_id, app: "jupyter", protocol: "http" } });
      return { token, session_id, query: { app: "jupyter" } };
    },
    async so({ success }, { session_id }, stage) {
      const { circuits } = await stage.client.listCircuits({ query: { session_id } });
      expect([success, circuits]).toEqual([true, []]);
    },
    refused: [
      {
        kind: "invalid-api-params",
        what: "no app",
        msg: "app: wanted text of length at least 1, got nothing",
        spoil: (good) => ({ ...good, query: {} }),
      },
      {
        kind: "invalid-api-params",
        what: "a session that is no UUID",
        msg: 'session_id: wanted a UUID, got "me"',
        spoil: (good) => ({ ...good, session_id: "me" }),
      },
      {
        kind: "object-not-found",
        what: "an unknown token",
        msg: UNKNOWN_TOKEN,
        spoil: (good) => ({ ...good, token: NOBODY }),
      },
      {
        kind: "invalid-credentials",
        what: "a token of another session",
        msg: "E20007: Session ID mismatch",
        spoil: (good) => ({ ...good, session_id: NOBODY }),
      },
    ],
  },
};

// --- internal ---

/** An app is opened alike by a body and by a query; `give` puts a wish where the call takes it. */
function opening<N extends "open" | "openByQuery">(give: (wish: Record<string, unknown>) => Given): Plan<N> {
  const spoilt = (change: Record<string, unknown>) => ({
    ask: async (stage: Stage) => give({ ...(await stage.token()), ...WISH, ...change }),
  });
  const full = async (stage: Stage) => {
    const token = await stage.token();
    await stage.client.open({ body: { ...token, ...WISH } });
    return give({ ...token, ...WISH, no_reuse: true });
  };
  const taken = async (stage: Stage) => give({ ...(await stage.token()), ...WISH, port: (await stage.circuit()).port });
  return {
    good: async (stage) => give({ ...(await stage.token()), ...WISH }) as Input<N>,
    async so({ circuit_id: id, redirect_url: url, token }, _input, stage) {
      expect(url.replace(/:\d+\//, ":PORT/")).toBe(`http://127.0.0.1:PORT/setup?token=${token}`);
      const circuit = await stage.client.getCircuit({ circuit_id: id });
      const wanted: Partial<Circuit> = { envs: WISH.envs, arguments: WISH.args, app: WISH.app, open_to_public: false };
      expect(circuit).toMatchObject(wanted);
    },
    // The token in the URL can be used once; that it is shared is told.
    same: ({ circuit_id: id }) => id,
    refused: [
      { kind: "invalid-api-params", what: "no app", msg: "app: wanted text of length from 1 to 255, got nothing", ...spoilt({ app: undefined }) },
      { kind: "invalid-api-params", what: "a redirect elsewhere", msg: BAD_REDIRECT, ...spoilt({ redirect: "//evil.example" }) },
      { kind: "invalid-api-params", what: "envs that are no object", msg: /^envs: wanted an object/, ...spoilt({ envs: "PASSWORD=hunter2" }) },
      { kind: "invalid-api-params", what: "a bad address list", msg: 'allowed_client_ips: wanted addresses or CIDR ranges, got "300.1.1.1"', ...spoilt({ allowed_client_ips: "300.1.1.1" }) },
      { kind: "object-not-found", what: "an unknown token", msg: UNKNOWN_TOKEN, ...spoilt({ token: NOBODY }) },
      { kind: "invalid-credentials", what: "a token of another session", msg: "E20007: Session ID mismatch", ...spoilt({ session_id: NOBODY }) },
      { kind: "appproxy/port-not-available", what: "a port that is taken", msg: /^port: \d+ is already occupied by another circuit$/, ask: taken },
      { kind: "appproxy/port-not-available", what: "a port of no worker", msg: /^port: 9 is in no worker's range; wanted one of \d+-\d+/, ...spoilt({ port: 9 }) },
      { kind: "appproxy/worker-not-available", what: "a protocol that no worker carries", msg: "No living worker carries interactive circuits of protocol tcp", ...spoilt({ protocol: "vnc" }) },
      { place: "empty", kind: "appproxy/worker-not-available", what: "no worker", msg: "No worker is alive", ...spoilt({}) },
      { place: "full", kind: "appproxy/too-many-circuits", what: "a session that is full", msg: /^session_id: wanted a session with fewer than 1 circuits, got one with 1: /, ask: full },
      { place: "deaf", kind: "service-unavailable", what: "a worker that acknowledges nothing", msg: "E10001: Proxy worker not responding", ...spoilt({}) },
    ],
  }; // prettier-ignore
}
