/**
 * Clients whose machine is gone, in a network of the test's own: two name spaces and a cable between them. Who has vanished is
 * gone within 90 seconds, with bytes under way and without; who lives and has no room stays.
 */
import { expect, test } from "bun:test";
import { app } from "../../contract/upstreams.ts";
import { chunk } from "../../contract/message.ts";
import type { Wire } from "../../contract/wire.ts";
import { atEnd } from "../../support/at-end.ts";
import { until } from "../../support/until.ts";
import { carryTo } from "../engine/sockets/carrying.ts";

const GONE_MS = 90_000;
const HEAD = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const isInside = process.env["OWN_NETWORK"] === "1";

if (isInside)
  test("a client that has vanished is gone within 90 s, one that reads nothing stays", async () => {
    const there = await cable();
    const upstream = app(async ({ head, wire }) => {
      await wire.send(HEAD);
      // The others are silent.
      if (head.target === "/events") for (; wire.ended === null; await Bun.sleep(1000)) await wire.send(chunk("event"));
      if (head.target === "/flood") await flood(wire);
      await wire.wait(() => wire.ended !== null, "its end", 300_000);
    });
    const carrying = carryTo(upstream, { hostname: "10.9.0.1" });
    const busy = await carrying.connect();
    await busy.send("GET /flood HTTP/1.1\r\nHost: me\r\n\r\n");
    await busy.readThrough("\r\n\r\n");
    busy.pause();
    there.run(["bun", "-e", clients(carrying.port)]);
    await until(() => upstream.asked.length === 3);
    const vanishedAt = performance.now();
    await there.leave();
    const left = upstream.asked.filter(({ head }) => head.target !== "/flood");
    const ended = await Promise.all(left.map(({ wire }) => wire.end(2 * GONE_MS).then(() => performance.now() - vanishedAt)));
    for (const ms of ended) expect(ms).toBeLessThan(GONE_MS);
    await until(() => performance.now() - vanishedAt > GONE_MS, 2 * GONE_MS);
    expect([upstream.asked.find(({ head }) => head.target === "/flood")?.wire.ended, busy.ended]).toEqual([null, null]);
    expect(carrying.released()).toBe(2);
  }, 4 * GONE_MS); // prettier-ignore
else
  // Where a process may not have a network of its own (no root, a container that forbids it) there is none to cut.
  test.skipIf(!canHaveNetwork())("clients that vanish, in a network of their own", async () => {
    const child = Bun.spawn(["unshare", "-n", process.execPath, "test", import.meta.path], {
      env: { ...process.env, OWN_NETWORK: "1" },
      stdout: "pipe",
      stderr: "pipe",
    });
    const said = await new Response(child.stderr).text();
    await child.exited;
    expect(said).toContain("1 pass");
    expect(said).toContain("0 fail");
  }, 5 * GONE_MS); // prettier-ignore

// --- internal ---

/** As much as the way holds. `send` gives up after 90 s, which would end the connection from here. */
async function flood(wire: Wire): Promise<void> {
  try {
    for (;;) await wire.send(chunk(Buffer.alloc(1024 * 1024)));
  } catch {
    return; // what is under way stays
  }
}

/** Needs root, util-linux and iproute2. */
function canHaveNetwork(): boolean {
  return [
    ["unshare", "-n", "ip", "link"],
    ["nsenter", "--version"],
  ].every((command) => Bun.which(command[0] ?? "") !== null && Bun.spawnSync(command).exitCode === 0);
}

function sh(command: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["sh", "-ec", command]);
  if (exitCode !== 0) throw new Error(`${command}: ${stderr.toString()}`);
}

/** Another machine at the end of a cable: 10.9.0.2. Its processes end with it. */
async function cable(): Promise<{ run(command: string[]): void; leave(): Promise<void> }> {
  const machine = Bun.spawn(["unshare", "-n", "sh", "-c", "echo up; exec sleep 600"], { stdout: "pipe" });
  atEnd(() => machine.kill("SIGKILL"));
  await machine.stdout.getReader().read();
  const inside = `nsenter -t ${machine.pid} -n`;
  sh("ip link set lo up");
  sh(`ip link add v0 type veth peer name v1 netns ${machine.pid}; ip addr add 10.9.0.1/24 dev v0; ip link set v0 up`);
  sh(`${inside} sh -ec 'ip link set lo up; ip addr add 10.9.0.2/24 dev v1; ip link set v1 up'`);
  return {
    run(command) {
      const child = Bun.spawn([...inside.split(" "), ...command], { stdout: "inherit", stderr: "inherit" });
      atEnd(() => child.kill("SIGKILL"));
    },
    // Nobody has the address any more: what is sent to it is answered by nobody.
    leave: async () => sh(`${inside} ip addr del 10.9.0.2/24 dev v1`),
  };
}

/** A program with a client of events and one that waits in silence. */
function clients(port: number): string {
  return `for (const path of ["/events", "/silence"])
    await Bun.connect({ hostname: "10.9.0.1", port: ${port}, socket: {
      open: (socket) => void socket.write("GET " + path + " HTTP/1.1\\r\\nHost: me\\r\\n\\r\\n"), data() {},
    } });
  setTimeout(() => undefined, 600_000);`;
}
