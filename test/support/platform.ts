/** Plays the platform's other managers: says on its channel what happens to sessions. */
import { Redis } from "ioredis";
import { PLATFORM_CHANNEL } from "../../coordinator/platform/channel.ts";

export interface Platform {
  /** Sends any text. Gives how many heard it. */
  say(text: string): Promise<number>;
  sessionTerminated(sessionId: string): Promise<number>;
  scheduling(sessionId: string, status: string): Promise<number>;
  kernelTerminated(sessionId: string): Promise<number>;
  stop(): void;
}

/** On the Redis at this port. */
export function startPlatform(port: number): Platform {
  const redis = new Redis(port, "127.0.0.1");
  redis.on("error", () => undefined);
  const say = (text: string) => redis.publish(PLATFORM_CHANNEL, text);
  return {
    say,
    sessionTerminated: (session_id) => say(message("session_terminated", { session_id, reason: "user-requested" })),
    scheduling: (session_id, status_transition) =>
      say(message("scheduling", { session_id, creation_id: "c1", status_transition, reason: "self-terminated" })),
    kernelTerminated: (session_id) =>
      say(message("kernel_terminated", { kernel_id: crypto.randomUUID(), session_id, reason: "self-terminated", exit_code: 0 })), // prettier-ignore
    stop: () => redis.disconnect(),
  };
}

/** A message of the platform. */
export function message(name: string, payload: unknown): string {
  const metadata = JSON.stringify({ request_id: null, user: null, triggered_user: null });
  return JSON.stringify({ name, source: "manager", payload: JSON.stringify(payload), metadata });
}
