/**
 * Nobody gets in who should not, whatever they ask for, how, where and with what: cases made of all that may differ, each with
 * what the rules say of it, over raw sockets, with an app behind that counts. Security 1 to 3, 5, 6, 8 and 9.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Shape, StageOptions } from "../contract/shapes.ts";
import { startStage, type Stage } from "../contract/stage.ts";
import { stopUpstreams } from "../contract/upstreams.ts";
import { closeWires } from "../contract/wire.ts";
import { createRandom } from "../faults/random.ts";
import { startCertificates } from "../support/certificates.ts";
import { atEnd } from "../support/at-end.ts";
import { combinations } from "../support/combinations.ts";
import { startLoneCoordinator } from "../support/lone-coordinator.ts";
import { allCases, fewCases, VALUES } from "./admission/cases.ts";
import { openAll } from "./admission/circuits.ts";
import { legacyCredentials } from "./admission/cookies.ts";
import { startCounter } from "./admission/counter.ts";
import { tryAll, type Ground } from "./admission/matrix.ts";
import type { Case } from "./admission/rules.ts";
import { tryTcp } from "./admission/tcp.ts";
import { rightAnswer, wrongAtCoordinator, wrongAtWorker } from "./admission/wrong-secrets.ts";
import { isFull, seed } from "./options.ts";

const SHAPES = combinations({
  engine: ["sockets", "serve"],
  frontend: ["port", "wildcard"],
  place: ["in process"],
} as const);
const PORTS = SHAPES.filter(({ frontend }) => frontend === "port");
setDefaultTimeout(isFull ? 3_600_000 : 300_000);

/** A stage for the tests of the surrounding describe block. */
function useStage(shape: Shape, options: StageOptions): () => Stage {
  let stage: Stage;
  beforeAll(async () => void (stage = await startStage(shape, options)), 60_000);
  afterAll(async () => {
    closeWires();
    stopUpstreams();
    await stage.stop();
  });
  return () => stage;
}

/** The same with circuits of each kind and the app behind them. */
function useGround(shape: Shape, options: StageOptions = {}): () => Ground {
  const stage = useStage(shape, { ports: 128, ...options });
  const secure = options.worker?.["tls_listen"] === true;
  let ground: Ground;
  beforeAll(async () => {
    const counter = startCounter();
    ground = { shape, secure, counter, knocked: await openAll(stage(), counter.port, secure) };
  }, 60_000);
  return () => ground;
}

/** A matrix that refuses everything would hold too: so many are let in and refused at least. */
async function holds(cases: Case[], ground: Ground, least: { letIn: number; refused: number }): Promise<void> {
  const { letIn, refused, ...found } = await tryAll(cases, ground);
  expect(found).toEqual({ faults: [], miscounted: [], uneven: [] });
  expect([letIn >= least.letIn, refused >= least.refused, letIn + refused]).toEqual([true, true, cases.length]);
}

const random = ({ engine, frontend }: Shape, what: string) => createRandom(seed).fork(`${engine} ${frontend} ${what}`);
const kinds = (pattern: RegExp) => VALUES.kind.filter(({ name }) => pattern.test(name));

describe.each(SHAPES)("$engine engine, $frontend frontend", (shape) => {
  const ground = useGround(shape);

  test(`every case ends as the rules say, and the app sees those that are let in, once each (seed ${seed})`, async () => {
    const cases = isFull ? allCases(random(shape, "all")) : fewCases(random(shape, "few"));
    await holds(cases, ground(), { letIn: 200, refused: 1500 });
  });
});

describe.each(PORTS)("$engine engine, TLS", (shape) => {
  const files = startCertificates("localhost");
  afterAll(() => files.remove());
  const ground = useGround(shape, { worker: { tls_listen: true, tls_cert: files.cert, tls_privkey: files.key } });

  test(`every case ends as the rules say (seed ${seed})`, async () => {
    const protocol = ["HTTP/1.1", "WebSocket", "behind another request"] as const;
    const values = { ...VALUES, kind: kinds(/^(interactive|model service|interactive, open to everybody|interactive, of nobody)$/), method: ["GET", "POST", "TRACE"] as const, protocol }; // prettier-ignore
    await holds(fewCases(random(shape, "TLS"), values), ground(), { letIn: 50, refused: 300 });
  });
});

describe.each(PORTS)("$engine engine, where the original's permits count", (shape) => {
  const ground = useGround(shape, { sections: { permit: { accept_legacy: true } } });

  test(`every case ends as the rules say (seed ${seed})`, async () => {
    const values = { ...VALUES, credential: legacyCredentials() };
    const cases = fewCases(random(shape, "legacy"), values);
    await holds(cases, ground(), { letIn: 50, refused: 300 });
  });
});

describe.each(combinations({ shape: PORTS, auth: ["setup-address", "none"] }))(
  '$shape.engine engine, TCP, tcp_auth = "$auth"',
  ({ shape, auth }) => {
    const stage = useStage(shape, { ports: 256, worker: { protocol: "tcp", tcp_auth: auth } });

    test("who is let in reaches the app with every byte, and of who is not it sees nothing", async () => {
      const { letIn, refused, faults } = await tryTcp(stage(), auth === "none");
      expect(faults).toEqual([]);
      expect([letIn >= 80, refused >= 200]).toEqual([true, true]);
    });
  },
);

describe.each(PORTS)("$engine engine", (shape) => {
  const stage = useStage(shape, { ports: 128 });

  test("a wrong secret is answered alike, wherever it is wrong", async () => {
    const counter = startCounter();
    const knocked = await openAll(stage(), counter.port, false);
    const find = (name: string) => knocked.find(({ kind }) => kind.name === name) ?? raise(name);
    const [own, service] = [find("interactive"), find("model service")];
    const answers = await wrongAtWorker(own, service, stage().apiPort());
    for (const [what, seen] of Object.entries(answers)) expect([what, seen]).toEqual([what, [expect.stringMatching(/^401 /)]]); // prettier-ignore
    expect([...counter.seen]).toEqual([]);
    expect(await rightAnswer(own, "a permit")).toEqual([expect.stringMatching(/^200 /)]);
    expect(await rightAnswer(service, "a token")).toEqual([expect.stringMatching(/^200 /)]);
  });
});

test("a wrong secret of the API is answered alike, wherever it is wrong", async () => {
  const coordinator = await startLoneCoordinator({});
  atEnd(() => coordinator.stop());
  const { baseUrl } = coordinator.manager;
  const answers = await wrongAtCoordinator(baseUrl);
  for (const [what, seen] of Object.entries(answers)) expect([what, seen]).toEqual([what, [expect.stringMatching(/^401 /)]]); // prettier-ignore
  expect((await coordinator.manager.api("GET", "/api/circuits")).status).toBe(200);
});

function raise(what: string): never {
  throw new Error(`no circuit "${what}"`);
}
