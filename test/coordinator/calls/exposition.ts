/** Prometheus's text format, read as strictly as its description allows. */
import { expect } from "bun:test";

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = String.raw`[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"`;
const SAMPLE = new RegExp(`^(${NAME})(\\{${LABEL}(?:,${LABEL})*\\})? (\\S+)$`);
const HEAD = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`);

/** The figures of a text of format 0.0.4 by name and labels: every line is read, each series is once, under its metric's heading. */
export function parseFigures(text: string): Map<string, number> {
  const series = new Map<string, number>();
  const types = new Map<string, string>();
  let metric = "";
  for (const line of text.split("\n").filter((one) => one !== "")) {
    const [, heading, headed = "", rest = ""] = HEAD.exec(line) ?? [];
    if (heading === "TYPE") {
      expect([line, types.has(headed), /^(counter|gauge)$/.test(rest)]).toEqual([line, false, true]);
      types.set(headed, rest);
      metric = headed;
    }
    if (heading !== undefined) continue;
    const [, name = "", labels = "", value = ""] = SAMPLE.exec(line) ?? [];
    expect([line, name]).toEqual([line, metric]);
    expect([line, types.get(name) === "counter"]).toEqual([line, name.endsWith("_total")]);
    expect([line, series.has(name + labels), Number.isFinite(Number(value))]).toEqual([line, false, true]);
    series.set(name + labels, Number(value));
  }
  return series;
}
