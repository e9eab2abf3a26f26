/** What can go wrong between the worker and an app, as every engine tells it to the core and net/ to an engine. */

/** What went wrong between the worker and an app. */
export type FaultKind =
  /** No connection: nothing has reached the app. */
  | "unreachable"
  /** No connection within the connect limit. */
  | "late"
  /** No connection: its address may not be dialled. */
  | "refused"
  /** The app has accepted the connection and then failed. */
  | "broken"
  /** Its route was taken away. */
  | "revoked";

export class UpstreamFault extends Error {
  readonly kind: FaultKind;

  constructor(kind: FaultKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "UpstreamFault";
    this.kind = kind;
  }
}
