/** What both sides of a WebSocket's handshake have to say for it to open (RFC 6455 §4.1, §4.2.2). For every engine; pure. */
import { Failure } from "../../../shared/failure.ts";
import type { Answer } from "../../../shared/http/page.ts";

/** The value of a header, or null. */
type Header = (name: string) => string | null;

/** Why a client's handshake can't succeed: then no app is asked. Null for one that can. */
export function handshakeFault(header: Header): Failure | Answer | null {
  // RFC 6455 §4.2.2: with the version that is understood.
  if (header("sec-websocket-version") !== "13")
    return { status: 426, headers: [["Sec-WebSocket-Version", "13"]], body: "" };
  if (/^[A-Za-z0-9+/]{22}==$/.test(header("sec-websocket-key") ?? "")) return null;
  return new Failure("generic-bad-request", "Sec-WebSocket-Key: wanted 16 bytes in base64");
}

/** Throws for an app's 101 that its client has to refuse (RFC 6455 §4.1): a browser would refuse the same. */
export function assertAccepted(answer: Header, asked: Header): void {
  const key = asked("sec-websocket-key") ?? "";
  const accept = Bun.SHA1.hash(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, "base64");
  if (answer("sec-websocket-accept") !== accept) throw new Error("the app's Sec-WebSocket-Accept is wrong");
  if (answer("upgrade")?.toLowerCase() !== "websocket") throw new Error("the app upgrades to something else");
  if (!names(answer("connection")).includes("upgrade")) throw new Error("the app's Connection does not name Upgrade");
  const offered = extensions(asked("sec-websocket-extensions"));
  if (!extensions(answer("sec-websocket-extensions")).every((one) => offered.includes(one)))
    throw new Error("the app uses an extension that was not offered");
}

// --- internal ---

function names(list: string | null): string[] {
  return (list ?? "").split(",").map((one) => one.trim().toLowerCase());
}

/** Their names, without parameters. */
function extensions(list: string | null): string[] {
  return names(list).flatMap((one) => (one === "" ? [] : [(one.split(";", 1)[0] ?? "").trim()]));
}
