/** A person works over OpenSSH through a TCP circuit: a shell's command, and 200 MB each way with scp. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hashOf, writeBigFile } from "../support/apps/big-file.ts";
import { startSshd, type Sshd } from "../support/apps/ssh.ts";
import { startRedis } from "../support/redis.ts";
import { spawnCluster, type SpawnedCluster } from "../support/spawned.ts";

const stack = new AsyncDisposableStack();
const directory = mkdtempSync(join(tmpdir(), "app-proxy-ssh-"));
stack.defer(() => rmSync(directory, { recursive: true, force: true }));

let cluster: SpawnedCluster;
let sshd: Sshd;

beforeAll(async () => {
  sshd = await startSshd(directory, (step) => stack.defer(step));
  const redis = await startRedis();
  stack.defer(() => redis.stop());
  cluster = await spawnCluster({ redisPort: redis.port, worker: { protocol: "tcp" } });
  stack.defer(() => cluster.stop());
}, 120_000);

afterAll(() => stack.disposeAsync());

/** Asks for a circuit as a client program does; `letIn` lets its address in and gives the circuit's address. */
async function openCircuit(): Promise<{ letIn: () => Promise<URL> }> {
  const { manager } = cluster;
  const { token, sessionId } = await manager.conf({ kernel_port: sshd.port });
  const opened = await manager.auth(token, sessionId, { app: "sshd", protocol: "tcp" });
  expect([opened.status, opened.body]).toEqual([200, expect.objectContaining({ redirect_url: expect.any(String) })]);
  return {
    async letIn() {
      const setup = await fetch(String(opened.body["redirect_url"]), { redirect: "manual" });
      const { redirectURI } = (await setup.json()) as { redirectURI: string };
      return new URL(new URL(redirectURI).searchParams.get("gateway") ?? "");
    },
  };
}

test("ssh runs a command, and its output, errors and exit code come back", async () => {
  const { letIn } = await openCircuit();
  const gateway = await letIn();
  expect([gateway.protocol, gateway.hostname]).toEqual(["tcp:", "127.0.0.1"]);
  const answer = await sshd.ssh(Number(gateway.port), "echo $((6*7)); echo oops >&2; exit 3");
  expect(answer).toEqual({ code: 3, stdout: "42\n", stderr: "oops\n" });
});

test("the login shell reads no start-up file of the person who runs the tests", async () => {
  const gateway = await (await openCircuit()).letIn();
  writeFileSync(join(directory, ".bashrc"), "echo read\n");
  const answer = await sshd.ssh(Number(gateway.port), 'echo "$HOME"');
  rmSync(join(directory, ".bashrc"));
  expect(answer.stdout.trimEnd().split("\n").at(-1)).toBe(directory);
});

test("ssh is turned away until its address has come in by the circuit's own link", async () => {
  const { letIn } = await openCircuit();
  const ports = Array.from({ length: cluster.ports[1] - cluster.ports[0] + 1 }, (_, index) => cluster.ports[0] + index);
  const early = await Promise.all(ports.map((port) => sshd.ssh(port, "true")));
  const gateway = await letIn();
  expect(early[ports.indexOf(Number(gateway.port))]?.code).toBe(255);
  expect(await sshd.ssh(Number(gateway.port), "true")).toEqual({ code: 0, stdout: "", stderr: "" });
});

test(
  "scp carries 200 MB there and back, byte by byte the same",
  async () => {
    const { letIn } = await openCircuit();
    const port = Number((await letIn()).port);
    const [source, there, back] = [join(directory, "source"), join(directory, "there"), join(directory, "back")];
    writeBigFile(source);
    const wanted = await hashOf(source);
    expect(await sshd.scp(port, source, `:${there}`)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await hashOf(there)).toBe(wanted);
    expect(await sshd.scp(port, `:${there}`, back)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await hashOf(back)).toBe(wanted);
  },
  20 * 60_000,
);
