/**
 * What a test has started is ended with it, also when it fails or passes its limit: called right after the start, inside a
 * test or `beforeEach`. At the end of a test's body it would be left out by the first expectation that does not hold, and
 * the next tests would meet its processes and connections.
 */
import { onTestFinished } from "bun:test";

type Step = () => unknown;

let steps: Step[] = [];

/** Runs `step` when the test that runs has ended; the last one first. */
export function atEnd(step: Step): void {
  if (steps.length === 0) onTestFinished(undo);
  steps.push(step);
}

// --- internal ---

async function undo(): Promise<void> {
  const stack = new AsyncDisposableStack();
  for (const step of steps) stack.defer(async () => void (await step()));
  steps = [];
  await stack.disposeAsync();
}
