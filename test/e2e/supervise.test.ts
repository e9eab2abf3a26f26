/** Workers under their supervisor: signals at the wrong moment, changes that can't be taken over, what happens during a drain. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:tls";
import { startCertificates } from "../support/certificates.ts";
import { freePort } from "../support/ports.ts";
import { KeptConnection } from "../support/steady.ts";
import { reload, Site, told, type Supervised } from "../support/supervised.ts";
import { until } from "../support/until.ts";
import { talk } from "../support/websocket.ts";
import { atEnd } from "../support/at-end.ts";

let site: Site;
beforeAll(async () => void (site = await Site.start()));
afterAll(() => site.stop());

const pidOf = (worker: Supervised) => Number(told(worker, "worker started").at(-1)?.["pid"]);
const says = (worker: Supervised, msg: string) => until(() => told(worker, msg)[0], 30_000, `the log says "${msg}"`);
const statusOf = async ({ origin, cookie }: { origin: string; cookie: string }) =>
  (await fetch(origin, { headers: { cookie }, keepalive: false })).status;

describe("a signal", () => {
  test("to end all during a drain leaves the older worker its time", async () => {
    const worker = await site.supervise("supervise-term");
    atEnd(() => worker.service.stop());
    const { origin, cookie } = await site.manager.enter(site.kernel());
    const open = () => talk(`${origin.replace("http", "ws")}/ws`, { headers: { cookie, origin } });
    const sockets = await Promise.all([open(), open(), open()]);
    worker.service.process.kill("SIGHUP");
    await says(worker, "new worker process is ready; the old one drains");
    // Later than what counts as the same signal.
    await Bun.sleep(1200);
    expect(await worker.service.stop()).toBe(0);
    expect(await Promise.all(sockets.map(async ({ closed }) => (await closed).code))).toEqual([1012, 1012, 1012]);
    expect(told(worker, "worker is down").length).toBe(2);
  });

  test("to end that comes twice in a moment, as Ctrl-C does, is one", async () => {
    const worker = await site.supervise("supervise-int");
    atEnd(() => worker.service.stop());
    const { origin, cookie } = await site.manager.enter(site.kernel());
    const streaming = await fetch(`${origin}/stream`, { headers: { cookie } });
    worker.service.process.kill("SIGINT");
    await Bun.sleep(10);
    worker.service.process.kill("SIGINT");
    expect(await worker.service.process.exited).toBe(0);
    expect(told(worker, "worker is down").length).toBe(1);
    await streaming.body?.cancel();
  });

  test("to reload that reaches the worker itself is ignored", async () => {
    const worker = await site.supervise("supervise-hup");
    atEnd(() => worker.service.stop());
    const entered = await site.manager.enter(site.kernel());
    process.kill(pidOf(worker), "SIGHUP");
    await says(worker, "SIGHUP ignored: send it to the supervisor, which replaces this process");
    expect(await statusOf(entered)).toBe(200);
    expect(await worker.service.stop()).toBe(0);
  });

  test.each([10, 60, 150])("to end %d ms after one to reload is no failure", async (ms) => {
    const worker = await site.supervise(`supervise-both-${ms}`);
    atEnd(() => worker.service.stop());
    worker.service.process.kill("SIGHUP");
    await Bun.sleep(ms);
    expect(await worker.service.stop()).toBe(0);
  }); // prettier-ignore
});

describe("a reload", () => {
  test("with another API address is refused, and the older worker goes on", async () => {
    const worker = await site.supervise("supervise-api");
    atEnd(() => worker.service.stop());
    const entered = await site.manager.enter(site.kernel());
    const good = readFileSync(worker.file, "utf8");
    writeFileSync(worker.file, good.replace(`127.0.0.1:${worker.apiPort}`, `127.0.0.1:${await freePort()}`));
    worker.service.process.kill("SIGHUP");
    await says(worker, "new worker process ended before it was ready; the old one goes on");
    expect(await statusOf(entered)).toBe(200);
    expect(await worker.service.stop()).toBe(0);
    expect(await worker.service.stderr).toContain(
      "the running worker listens at another address; a change of it needs a restart",
    );
  });

  test("takes all ports over, also one whose number somebody has at another address", async () => {
    const worker = await site.supervise("supervise-addr", { heartbeat_period: 10 });
    atEnd(() => worker.service.stop());
    const entered = await site.manager.enter(site.kernel());
    const port = Number(new URL(entered.origin).port);
    const other = Bun.listen({ hostname: "127.0.0.9", port, socket: { data: () => undefined } });
    await reload(worker);
    expect(await statusOf(entered)).toBe(200);
    expect(worker.service.lines.filter(({ msg }) => String(msg).startsWith("Cannot open"))).toEqual([]);
    expect(told(worker, "sharing ports with the old worker process").length).toBe(1);
    other.stop(true);
    expect(await worker.service.stop()).toBe(0);
  });

  test("that fails after a renewal of the certificate leaves everybody with the new one", async () => {
    const certificates = startCertificates("first");
    site.defer(() => certificates.remove());
    const [port, domain] = [await freePort(), ".apps.example.com"];
    const worker = await site.supervise(
      "supervise-tls",
      {
        frontend_mode: "wildcard",
        tls_listen: true,
        tls_cert: certificates.cert,
        tls_privkey: certificates.key,
        wildcard_domain: { domain, bind_addr: `127.0.0.1:${port}` },
      },
      // The successor is to come up and never to serve: on a busy machine it took more than 3 s until it was up.
      ["--ready-within", "15"],
    );
    atEnd(() => worker.service.stop());
    const served = async () => [...new Set(await Promise.all(Array.from({ length: 20 }, () => nameAt(port))))];
    expect(await served()).toEqual(["first"]);
    certificates.issue("second");
    await says(worker, "certificate renewed");
    expect(await served()).toEqual(["second"]);
    const good = readFileSync(worker.file, "utf8");
    writeFileSync(worker.file, good.replace(site.manager.baseUrl, "http://127.0.0.1:1"));
    worker.service.process.kill("SIGHUP");
    await until(() => told(worker, "worker is up").length === 2);
    expect(await served()).toEqual(["second"]);
    await says(worker, "new worker process ended before it was ready; the old one goes on");
    expect(await served()).toEqual(["second"]);
    expect(await worker.service.stop()).toBe(0);
  });
});

describe("an older worker that drains", () => {
  let worker: Supervised;
  const api = new KeptConnection();

  test("still knows what comes and goes: over a connection that it has, a link works, and a removed circuit does not", async () => {
    worker = await site.supervise("supervise-drain", { shutdown_timeout: 20 });
    const entered = await site.manager.enter(site.kernel());
    const { port, host } = new URL(entered.origin);
    const head = `Host: ${host}\r\nCookie: ${entered.cookie}\r\n`;
    // Each is told with its next answer to come back elsewhere.
    const kept = Array.from({ length: 20 }, () => new KeptConnection());
    expect(await Promise.all(kept.map((one) => one.ask(Number(port), head)))).toEqual(kept.map(() => null));
    expect(await api.ask(worker.apiPort, "Host: worker\r\n")).toBeNull();
    worker.service.process.kill("SIGHUP");
    await says(worker, "new worker process is ready; the old one drains");
    await until(async () => (await site.nodesOf(worker.authority)) === 1);

    const { token, sessionId } = await site.manager.conf(site.kernel());
    const link = new URL(String((await site.manager.auth(token, sessionId)).body["redirect_url"]));
    expect(await api.ask(worker.apiPort, "Host: worker\r\n", link.pathname + link.search)).toStartWith("HTTP/1.1 302");

    const circuit = await circuitAt(Number(port));
    expect((await site.manager.api("DELETE", `/api/circuit/${circuit}`)).status).toBe(200);
    await until(async () => (await statusOf(entered).catch(() => 0)) !== 200);
    let answer: string | null = null;
    for (let one = kept.pop(); one !== undefined && answer === null; one = kept.pop()) {
      answer = await one.ask(Number(port), head);
      await Bun.sleep(20);
    }
    expect(answer).not.toBeNull();
    expect(told(worker, "old worker process has ended")).toEqual([]);
    expect(await worker.service.stop()).toBe(0);
  });
});

// --- internal ---

/** The name in the certificate that is served. */
function nameAt(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
    resolve(String(socket.getPeerCertificate().subject.CN));
    socket.destroy();
  });
  socket.on("error", reject);
  return promise;
}

async function circuitAt(port: number): Promise<string> {
  const { circuits } = (await site.manager.api("GET", "/api/circuits")).body as {
    circuits: { id: string; port: number }[];
  };
  const found = circuits.find((circuit) => circuit.port === port);
  if (found === undefined) throw new Error(`no circuit at port ${port}`);
  return found.id;
}
