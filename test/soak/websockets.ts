/** WebSockets that talk, are silent, and are left. */
import { BINARY, CLOSE, connect, TEXT, type Peer } from "../contract/websocket-peer.ts";
import type { Random } from "../faults/random.ts";
import { contentFault, contentOf } from "./content.ts";
import type { Way } from "./ground.ts";
import { assertMine, leave, newId, Wrong, type Kind } from "./traffic.ts";

export const WEBSOCKETS: Kind[] = [
  {
    name: "WebSocket that talks",
    weight: 3,
    async run(way, random) {
      const peer = await open(way);
      for (let turn = random.between(1, 20); turn > 0; turn--) await echo(peer, random);
      await close(peer);
    },
  },
  {
    name: "WebSocket that is silent",
    weight: 2,
    async run(way, random) {
      const peer = await open(way);
      await Bun.sleep(random.between(1000, 4000));
      await echo(peer, random);
      await close(peer);
    },
  },
  {
    name: "WebSocket that is left",
    weight: 2,
    async run(way, random) {
      const peer = await open(way);
      const turns = random.between(0, 10);
      for (let turn = 0; turn < turns; turn++) await peer.send(BINARY, contentOf(newId(), random.between(0, 200_000)));
      leave(peer.wire, random);
    },
  },
];

// --- internal ---

async function open(way: Way): Promise<Peer> {
  const id = newId();
  const peer = await connect(way.to, `/talk/${id}`);
  assertMine(peer.head, id, way);
  return peer;
}

async function echo(peer: Peer, random: Random): Promise<void> {
  const [id, length] = [newId(), random.weighted([{ weight: 5, most: 200 }, { weight: 1, most: 300_000 }]).most]; // prettier-ignore
  const size = random.between(0, length);
  const opcode = random.pick([TEXT, BINARY]);
  const sent = opcode === TEXT ? Buffer.from(`${id} `.repeat(size / 10)) : contentOf(id, size);
  await peer.send(opcode, sent);
  // Between them pings may come, of the engine that makes its own.
  for (;;) {
    const frame = await peer.next();
    if (frame === null) throw new Error(`a WebSocket ended instead of the echo of ${id}`);
    if (frame.opcode === CLOSE) throw new Error(`a WebSocket was closed instead of the echo of ${id}`);
    if (frame.opcode > CLOSE) continue;
    const fault = opcode === BINARY ? contentFault(frame.payload, id, size) : null;
    if (frame.opcode !== opcode || fault !== null || !frame.payload.equals(sent))
      throw new Wrong(
        `the echo of ${id} was another: ${fault ?? `opcode ${frame.opcode}, ${frame.payload.length} bytes`}`,
      );
    return;
  }
}

async function close(peer: Peer): Promise<void> {
  await peer.close(1000);
  const frames = await peer.all();
  if (frames.at(-1)?.opcode !== CLOSE) throw new Error("a WebSocket ended without a Close");
  peer.wire.close();
}
