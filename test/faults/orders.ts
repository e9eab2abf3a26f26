/** What the harness tells a process under test over its IPC channel, and how the process follows. */

/** How often delivered events are mistreated: probabilities in [0, 1]; 0 for all is a calm bus. */
export interface Storm {
  drop: number;
  duplicate: number;
  /** Handed on after the next one. */
  reorder: number;
  /** Handed on up to `delayMs` later. */
  delay: number;
  delayMs: number;
  seed: number;
}

export type Order =
  /** Delivered events are mistreated from now on. */
  | { do: "storm"; storm: Storm }
  /** Events are delivered as they come; what was held is handed on. */
  | { do: "calm" }
  /** The process kills itself at its next publication: before it, or when it is done. */
  | { do: "die"; at: "before publication" | "after publication" }
  /** Forgets the order to die. */
  | { do: "live" }
  /** Its clock differs from the machine's by so much from now on. */
  | { do: "clock"; offsetMs: number };

export interface Numbered {
  number: number;
  order: Order;
}

/** In the process under test: follows orders and says when it has; ends with the harness. */
export function followOrders(follow: (order: Order) => void): void {
  process.on("message", ({ number, order }: Numbered) => {
    follow(order);
    process.send?.(number);
  });
  // Whatever becomes of the harness, nothing of it is left running.
  process.on("disconnect", () => process.exit(1));
}
