/** Says whether an aim is reached, and by which figure when other programs have disturbed the measurement. */
import type { Sheet } from "./sheet.ts";

/** Part of the proxy's core that others may have used. */
const DISTURBED = 0.1;

/** `reached` or `NOT reached`, with what was measured. */
export function verdict(aim: string, reached: boolean, measured: string): string {
  return `aim: ${aim}: ${reached ? "reached" : "NOT reached"} (${measured})`;
}

/**
 * The worker against a peer in a row about speed, which has the rows `…, CPU` and `…, others` beside it. Speed that was
 * disturbed says nothing; the processor time of the same work then does: what the proxy could do with its core alone.
 */
export function against(
  sheet: Sheet,
  row: string,
  peer: string,
  wanted: number,
): { reached: boolean; measured: string } {
  const [speed, cpu] = [sheet.ratio(row, "worker", peer), sheet.ratio(`${row}, CPU`, peer, "worker")];
  const disturbed = ["worker", peer].some((name) => sheet.value(`${row}, others`, name) > DISTURBED);
  const measured = `${speed.toFixed(2)} × by speed, ${cpu.toFixed(2)} × by CPU${disturbed ? ", disturbed" : ""}`;
  return { reached: (disturbed ? cpu : speed) >= wanted, measured };
}

export const OTHERS_NOTE = `others: the part of the proxy's core that other programs used; above ${DISTURBED} CPU decides`;
