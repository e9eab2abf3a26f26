/** Sends an attempt's bytes over a connection of its own, and gives what came back. */
import { dial, finalHead } from "../../contract/client.ts";
import type { Answered } from "./judge.ts";

/** `isBroken`: our half ends behind the bytes, so that nobody waits for more. */
export async function send(
  port: number,
  bytes: Uint8Array,
  method: string,
  isBroken: boolean,
): Promise<Answered | null> {
  const wire = await dial(port);
  try {
    // A server that has refused already takes no more.
    await wire.send(bytes).catch(() => undefined);
    if (isBroken) wire.finish();
    await wire.wait(() => wire.received > 0 || wire.ended !== null, "an answer", LIMIT_MS);
    if (wire.received === 0) return null;
    const head = await finalHead(wire).catch((error: unknown) => {
      if (isBroken) return null; // it was told to go on, and went away
      throw error;
    });
    if (head === null) return null;
    const { bytes: body, complete } = await wire.body(head, method);
    const text = head.pairs.map((pair) => pair.join(": ")).join("\n");
    return { status: head.status, header: (name) => head.get(name), head: `${head.line}\n${text}`, body: body.toString("utf8"), isWhole: complete }; // prettier-ignore
  } finally {
    wire.close();
  }
}

// --- internal ---

/** No answer takes so long, on a busy machine neither. Milliseconds. */
const LIMIT_MS = 60_000;
