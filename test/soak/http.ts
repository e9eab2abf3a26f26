/** Requests that are answered whole: over kept connections, of several sizes, with bodies, as streams. */
import { ask, begin, dial, finalHead, requestHead } from "../contract/client.ts";
import { chunk } from "../contract/message.ts";
import type { Wire } from "../contract/wire.ts";
import { contentOf } from "./content.ts";
import type { Way } from "./ground.ts";
import { assertContent, assertMine, newId, someLength, Wrong, type Kind } from "./traffic.ts";

export const HTTP: Kind[] = [
  {
    name: "kept connection",
    weight: 6,
    async run(way, random) {
      const wire = await dial(way.to.port);
      for (let turn = random.between(1, 12); turn > 0; turn--) {
        const [id, length] = [newId(), someLength(random)];
        const kind = random.pick(["get", "chunks"]);
        await wire.send(requestHead(way.to, `/${kind}/${id}/${length}`));
        await takeAnswer(wire, way, id, length);
      }
      wire.close();
    },
  },
  {
    name: "upload",
    weight: 3,
    async run(way, random) {
      const [id, length] = [newId(), someLength(random)];
      const body = contentOf(id, length);
      const { head, body: said } = await ask(way.to, `/put/${id}/${length}`, { method: "PUT", body });
      assertMine(head, id, way);
      if (said.bytes.toString() !== "as sent") throw new Wrong(`upload ${id}: ${said.bytes.toString()}`);
    },
  },
  {
    name: "chunked upload",
    weight: 2,
    async run(way, random) {
      const [id, length] = [newId(), someLength(random)];
      const headers: [string, string][] = [["Transfer-Encoding", "chunked"]];
      const wire = await begin(way.to, `/put/${id}/${length}`, { method: "POST", headers });
      const body = contentOf(id, length);
      for (let at = 0; at < length;) {
        const size = Math.min(length - at, random.between(1, 50_000));
        await wire.send(chunk(body.subarray(at, at + size)));
        at += size;
      }
      await wire.send(chunk(""));
      const head = await finalHead(wire);
      assertMine(head, id, way);
      const said = (await wire.body(head)).bytes.toString();
      if (said !== "as sent") throw new Wrong(`upload ${id}: ${said}`);
      wire.close();
    },
  },
  {
    name: "event stream",
    weight: 2,
    async run(way, random) {
      const [id, count] = [newId(), random.between(1, 40)];
      const { head, body } = await ask(way.to, `/events/${id}/${count}`);
      assertMine(head, id, way);
      const wanted = Array.from({ length: count }, (_, at) => `data: ${id} ${at}\n\n`).join("");
      const said = body.bytes.toString();
      if (!wanted.startsWith(said)) throw new Wrong(`events of ${id}: ${JSON.stringify(said.slice(0, 200))}`);
      if (!body.complete) throw new Error(`the events of ${id} broke off`);
    },
  },
  {
    name: "slow reader",
    weight: 1,
    async run(way, random) {
      const [id, length] = [newId(), random.between(1_000_000, 3_000_000)];
      const wire = await begin(way.to, `/get/${id}/${length}`);
      for (let gulp = 0; gulp < 4; gulp++) {
        wire.pause();
        await Bun.sleep(random.between(50, 400));
        wire.resume();
        await Bun.sleep(1);
      }
      await takeAnswer(wire, way, id, length);
      wire.close();
    },
  },
];

/** Of the engine on raw sockets: Bun's own server closes such a connection. */
export const PIPELINED: Kind = {
  name: "pipelined requests",
  weight: 1,
  async run(way, random) {
    const wire = await dial(way.to.port);
    const asked = Array.from({ length: random.between(2, 8) }, () => ({
      id: newId(),
      length: random.between(0, 20_000),
    }));
    await wire.send(asked.map(({ id, length }) => requestHead(way.to, `/get/${id}/${length}`)).join(""));
    for (const { id, length } of asked) await takeAnswer(wire, way, id, length);
    wire.close();
  },
};

// --- internal ---

async function takeAnswer(wire: Wire, way: Way, id: number, length: number): Promise<void> {
  const head = await finalHead(wire);
  assertMine(head, id, way);
  assertContent(await wire.body(head), id, length);
}
