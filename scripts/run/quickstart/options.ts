/** The quickstart's command line. */
import { parseArgs } from "node:util";

export const HELP = `bun run quickstart [--redis redis://[:password@]host:port] [--app host:port]

  --redis URL       use a real Redis for events and live data, instead of this process
  --app HOST:PORT   open a circuit to your own app, instead of the demo app
`;

export interface Options {
  redis: { host: string; port: number; password: string } | null;
  app: { host: string; port: number } | null;
}

/** Reads the options. Throws with the option, its value and what was wanted. */
export function readOptions(argv: string[]): Options | "help" {
  const { values } = parseArgs({
    args: argv,
    options: { redis: { type: "string" }, app: { type: "string" }, help: { type: "boolean", short: "h" } },
  });
  if (values.help === true) return "help";
  return {
    redis: values.redis === undefined ? null : readRedis(values.redis),
    app: values.app === undefined ? null : readApp(values.app),
  };
}

// --- internal ---

function readRedis(given: string): NonNullable<Options["redis"]> {
  const url = URL.canParse(given) ? new URL(given) : null;
  if (url?.protocol !== "redis:" || url.hostname === "")
    throw new Error(`--redis ${given}: wanted redis://[:password@]host:port`);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? 6379 : Number(url.port),
    password: decodeURIComponent(url.password),
  };
}

function readApp(given: string): NonNullable<Options["app"]> {
  const match = /^(?:https?:\/\/)?(\[[0-9a-f:.]+\]|[^:/\s]+):(\d{1,5})\/?$/i.exec(given);
  const port = Number(match?.[2]);
  if (match?.[1] === undefined || port < 1 || port > 65535) throw new Error(`--app ${given}: wanted host:port`);
  return { host: match[1].replace(/^\[|\]$/g, ""), port };
}
