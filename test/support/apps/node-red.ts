/** Node-RED from the npm registry, installed into a directory of the test: it is no dependency of the project. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../ports.ts";
import { listens, startProgram, type Program } from "./program.ts";

/** The last line that runs on Node 18 and 20; Node-RED 5 wants Node 22. */
const VERSION = "4.1.15";
const OLDEST_NODE = "18.5.0";

/** Why it can't be had here, or null. */
export async function whyNoNodeRed(): Promise<string | null> {
  const node = Bun.which("node");
  if (node === null) return "there is no node";
  const version = (await run([node, "--version"])).output.trim().slice(1);
  if (Bun.semver.order(version, OLDEST_NODE) < 0) return `node is ${version}, wanted ${OLDEST_NODE} or newer`;
  const { code, output } = await run([process.execPath, "info", `node-red@${VERSION}`, "version"]);
  return code === 0 ? null : `the npm registry does not give node-red@${VERSION}: ${output.trim().slice(0, 200)}`;
}

export interface NodeRed extends Program {
  port: number;
}

export async function startNodeRed(directory: string): Promise<NodeRed> {
  mkdirSync(directory);
  writeFileSync(join(directory, "package.json"), JSON.stringify({ dependencies: { "node-red": VERSION } }));
  const { code, output } = await run([process.execPath, "install", "--ignore-scripts", "--omit=optional"], directory);
  if (code !== 0) throw new Error(`cannot install Node-RED: ${output}`);

  const port = await freePort();
  const settings = join(directory, "settings.cjs");
  writeFileSync(settings, `module.exports = ${JSON.stringify({ ...SETTINGS, uiPort: port })};\n`);
  const red = join(directory, "node_modules/node-red/red.js");
  const program = startProgram(["node", red, "--userDir", join(directory, "user"), "--settings", settings]);
  await listens(program, port);
  return { ...program, port };
}

// --- internal ---

/** No welcome tour, nothing that asks the internet. */
const SETTINGS = {
  uiHost: "127.0.0.1",
  credentialSecret: "only-for-this-test",
  editorTheme: { tours: false, palette: { editable: false, catalogues: [] } },
  telemetry: { enabled: false, updateNotification: false },
};

const REGISTRY_MS = 60_000;

async function run(command: string[], cwd?: string): Promise<{ code: number; output: string }> {
  const child = Bun.spawn(command, {
    ...(cwd === undefined ? {} : { cwd }),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: REGISTRY_MS,
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  return { code, output: code === 0 ? stdout : stdout + stderr };
}
