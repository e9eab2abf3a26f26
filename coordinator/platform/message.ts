/**
 * What the platform says on its channel, as far as it concerns circuits. Pure. The messages are not signed: they are only
 * ever taken for the end of something, and everything in them is checked.
 */
import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { isRecord } from "../../shared/values.ts";
import { asRequestId } from "../http/request-id.ts";
import { Uuid } from "../../shared/protocol/schema/basics.ts";
import "../../shared/protocol/schema/formats.ts";

/**
 * `session-over`: nothing of the session lives. `kernel-gone`: one of its kernels has ended, the others perhaps not.
 * `ignored`: nothing that concerns us, or not readable; `why` is one of a few texts. Of one that would concern us the operator
 * is to know: the platform may be of a version that says it otherwise. `requestId`: of the platform's request that has brought
 * it about, where its metadata names one.
 */
export type PlatformMessage =
  | { kind: "session-over" | "kernel-gone"; sessionId: string; requestId: string | null }
  | { kind: "ignored"; why: string; concerns: boolean };

/** The platform's messages about sessions have some hundred characters; longer ones are not worth reading. */
const MAX_LENGTH = 65_536;

export function readMessage(text: string): PlatformMessage {
  if (text.length > MAX_LENGTH) return ignored("too long");
  const envelope = parse(text);
  const named = isRecord(envelope) ? envelope["name"] : null;
  if (typeof named === "string" && !isKnown(named)) return ignored("a name that does not concern circuits");
  if (!envelopeCheck.Check(envelope)) return ignored("no envelope with name and payload", named !== null);
  const { name, payload } = envelope;
  const content = parse(payload);
  if (!payloadCheck.Check(content)) return ignored(`${name} without a session_id that is a UUID`, true);
  const { session_id: id, status_transition: status } = content;
  const about = { sessionId: id.toLowerCase(), requestId: requestIdOf(envelope.metadata) };
  if (name === "kernel_terminated") return { kind: "kernel-gone", ...about };
  const isEnd = typeof status === "string" && ENDS.has(status.toUpperCase());
  if (name === "scheduling" && !isEnd) return ignored("scheduling that ends nothing");
  return { kind: "session-over", ...about };
}

// --- internal ---

const NAMES = ["session_terminated", "scheduling", "kernel_terminated"] as const;
/** States of a session from which none returns. */
const ENDS = new Set(["TERMINATED", "CANCELLED"]);

const envelopeCheck = TypeCompiler.Compile(
  Type.Object({ name: Type.String(), payload: Type.String(), metadata: Type.Optional(Type.Unknown()) }),
);
const payloadCheck = TypeCompiler.Compile(
  Type.Object({
    session_id: Uuid,
    status_transition: Type.Optional(Type.Unknown()),
  }),
);

function isKnown(name: string): name is (typeof NAMES)[number] {
  return (NAMES as readonly string[]).includes(name);
}

/** Metadata is JSON in a text, as the payload is. */
function requestIdOf(metadata: unknown): string | null {
  const parsed = typeof metadata === "string" ? parse(metadata) : undefined;
  return isRecord(parsed) ? asRequestId(parsed["request_id"]) : null;
}

function ignored(why: string, concerns = false): PlatformMessage {
  return { kind: "ignored", why, concerns };
}

/** Undefined for text that is no JSON: the check that follows refuses it. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
