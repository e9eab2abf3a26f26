/** The parts of the benchmarks by name: what each needs, and how it is run. Called by main.ts and its smoke test. */
import { benchBulk, judgeBulk } from "./bulk.ts";
import { benchCircuits, judgeCircuits } from "./circuits.ts";
import { benchCreation, judge } from "./creation.ts";
import { benchHttp, judgeHttp } from "./http-rate.ts";
import { timeSyncs } from "./machine.ts";
import { table } from "./measure.ts";
import { benchProcesses, judgeProcesses } from "./processes.ts";
import { benchScale, judgeScale } from "./scale.ts";
import { benchNeighbour, judgeNeighbour } from "./neighbour.ts";
import type { Sheet } from "./sheet.ts";
import type { Size } from "./size.ts";
import { benchStalled, judgeStalled } from "./stalled.ts";
import { benchStream, judgeStream } from "./stream-delay.ts";
import { benchTcp, judgeTcp } from "./tcp.ts";
import { benchTransfer, judgeTransfer } from "./transfer.ts";
import { benchWebSocket, judgeWebSocket } from "./websocket.ts";

export interface Result {
  figures: readonly object[];
  /** The figures for people. */
  table: string;
  /** What they mean, in words. */
  summary: string;
}

export interface Part {
  /** Programs without which it can't run at all. For figures the peers' are needed too. */
  needs: readonly string[];
  /** Whether it compares the worker with other proxies. */
  hasPeers: boolean;
  /** Rejects when an answer is wrong; times are never a reason. */
  run: (size: Size) => Promise<Result>;
}

export const PARTS: Readonly<Record<string, Part>> = {
  creation: {
    needs: ["redis-server"],
    hasPeers: false,
    run: async (size) => {
      const figures = [...(await benchCreation(size)), timeSyncs()];
      return { figures, table: table(figures), summary: judge(figures) };
    },
  },
  bulk: {
    needs: ["redis-server"],
    hasPeers: false,
    run: async (size) => {
      const figures = await benchBulk(size);
      return { figures, table: table(figures), summary: judgeBulk(figures) };
    },
  },
  http: traffic(benchHttp, judgeHttp, "wrk"),
  stream: traffic(benchStream, judgeStream),
  transfer: traffic(benchTransfer, judgeTransfer),
  websocket: traffic(benchWebSocket, judgeWebSocket),
  tcp: traffic(benchTcp, judgeTcp),
  circuits: traffic(benchCircuits, judgeCircuits, "wrk"),
  processes: traffic(benchProcesses, judgeProcesses, "wrk"),
  neighbour: traffic(benchNeighbour, judgeNeighbour),
  stalled: traffic(benchStalled, judgeStalled, "unshare", "ip"),
  scale: {
    needs: ["redis-server"],
    hasPeers: false,
    run: async (size) => {
      const sheets = await benchScale(size);
      const { coordinator, table: lookups } = sheets;
      const figures = [...coordinator.rows(), ...lookups.rows()];
      return { figures, table: `${coordinator.text()}\n\n${lookups.text()}`, summary: judgeScale(sheets) };
    },
  },
};

// --- internal ---

function traffic(run: (size: Size) => Promise<Sheet>, judge: (sheet: Sheet) => string, ...load: string[]): Part {
  return {
    needs: ["redis-server", "taskset", ...load],
    hasPeers: true,
    run: async (size) => {
      const sheet = await run(size);
      return { figures: sheet.rows(), table: sheet.text(), summary: judge(sheet) };
    },
  };
}
