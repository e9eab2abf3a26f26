/** Clients that leave at any byte, requests that are refused, and apps that break off. */
import { ask, begin, dial, finalHead, requestHead, type Ask } from "../contract/client.ts";
import { APP } from "./apps.ts";
import { contentFault, contentOf } from "./content.ts";
import { assertMine, leave, newId, Wrong, type Kind } from "./traffic.ts";

export const LEAVING: Kind[] = [
  {
    name: "left in a head",
    weight: 1,
    async run({ to }, random) {
      const wire = await dial(to.port);
      const head = requestHead(to, `/get/${newId()}/1000`);
      await wire.send(head.slice(0, random.between(0, head.length - 1)));
      leave(wire, random);
    },
  },
  {
    name: "left in an upload",
    weight: 1,
    async run({ to }, random) {
      const [id, length] = [newId(), random.between(1, 1_000_000)];
      const headers: [string, string][] = [["Content-Length", String(length)]];
      const wire = await begin(to, `/put/${id}/${length}`, { method: "PUT", headers });
      await wire.send(contentOf(id, random.between(0, length - 1)));
      leave(wire, random);
    },
  },
  {
    name: "left in an answer",
    weight: 2,
    async run({ to }, random) {
      const [id, length] = [newId(), random.between(1, 3_000_000)];
      const wire = await begin(to, `/${random.pick(["get", "chunks"])}/${id}/${length}`);
      const wanted = random.between(0, length);
      await wire.wait(() => wire.received >= wanted || wire.ended !== null, "a part of an answer");
      leave(wire, random);
    },
  },
  {
    name: "left an event stream",
    weight: 1,
    async run({ to }, random) {
      const wire = await begin(to, `/events/${newId()}/100`);
      await Bun.sleep(random.between(0, 1000));
      leave(wire, random);
    },
  },
  {
    name: "refused",
    weight: 2,
    async run({ to }, random) {
      const wish: Ask = random.pick([
        { headers: [["Cookie", "none=1"]] },
        { headers: [["X Y", "1"]] },
        { headers: [["X-Long", "x".repeat(80_000)]] },
        { headers: [["Host", "no-such.example"], ["Cookie", "a=b"]] }, // prettier-ignore
      ]);
      const wire = await begin(to, `/get/${newId()}/10`, wish).catch(() => null);
      // Sent into a connection that is refused already.
      if (wire === null) return;
      const said = await wire.readThrough("\r\n\r\n").catch(() => null);
      if (said !== null && (said.includes(`${APP}:`) || said.startsWith("HTTP/1.1 2")))
        throw new Wrong(`${JSON.stringify(wish).slice(0, 60)} reached an app`);
      wire.close();
    },
  },
  {
    name: "app resets before its answer",
    weight: 1,
    async run(way) {
      const { head } = await ask(way.to, `/nothing/${newId()}`, { method: "POST", body: "x" });
      if (head.status !== 502) throw new Error(`an app that reset was answered with "${head.line}"`);
    },
  },
  {
    name: "app resets in its answer",
    weight: 1,
    async run(way, random) {
      const [id, length] = [newId(), random.between(1, 300_000)];
      const wire = await begin(way.to, `/break/${id}/${length}`);
      // Its reset may overtake the head.
      const head = await finalHead(wire).catch(() => null);
      if (head === null || head.status === 502) return wire.close();
      assertMine(head, id, way);
      const { bytes, complete } = await wire.body(head);
      if (complete) throw new Wrong(`the answer of ${id} was cut off and came whole`);
      const fault = contentFault(bytes.subarray(0, length), id, Math.min(length, bytes.length));
      if (fault !== null) throw new Wrong(fault);
      wire.close();
    },
  },
];
