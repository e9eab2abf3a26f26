/** Connections of TCP circuits that talk, and that are left. */
import { dial } from "../contract/client.ts";
import type { Wire } from "../contract/wire.ts";
import { contentFault, contentOf } from "./content.ts";
import type { Way } from "./ground.ts";
import { leave, newId, someLength, Wrong, type Kind } from "./traffic.ts";

export const TCP: Kind[] = [
  {
    name: "TCP that talks",
    weight: 3,
    async run(way, random) {
      const wire = await open(way);
      for (let turn = random.between(1, 5); turn > 0; turn--) {
        const [id, length] = [newId(), someLength(random)];
        await wire.send(contentOf(id, length));
        const bytes = await wire.read(length);
        const fault = contentFault(bytes, id, Math.min(length, bytes.length));
        if (fault !== null) throw new Wrong(fault);
        if (bytes.length < length)
          throw new Error(`the echo of ${id} broke off after ${bytes.length} of ${length} bytes`);
      }
      wire.finish();
      const rest = await wire.rest();
      if (rest.length > 0) throw new Wrong(`${rest.length} bytes came behind the last echo`);
      wire.close();
    },
  },
  {
    name: "TCP that is left",
    weight: 1,
    async run(way, random) {
      const wire = await dial(way.to.port);
      if (random.chance(0.7)) await wire.send(contentOf(newId(), random.between(0, 200_000)));
      leave(wire, random);
    },
  },
];

// --- internal ---

async function open(way: Way): Promise<Wire> {
  const wire = await dial(way.to.port);
  const said = await wire.readThrough("\n");
  if (said === null) throw new Error("a TCP connection ended before its app had spoken");
  if (said !== `${way.app.name}\n`) throw new Wrong(`${way.app.name} was reached, and spoke as ${said}`);
  return wire;
}
