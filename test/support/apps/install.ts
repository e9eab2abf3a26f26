/**
 * Installs real apps from PyPI and npm, once for all clones of a machine: into a folder of the person's cache whose name
 * says what is in it. Several processes may ask for one app at once; the first installs, the others wait for its lock,
 * which the kernel frees when it dies. Half an installation is begun anew.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { ROOT } from "../spawned.ts";
import { PINS, type AppName, type Pin } from "./pins.ts";

/** How long the slowest may take: code-server compiles three modules. Milliseconds. */
export const INSTALL_MS = 900_000;

/** Where the app lies, installed. */
export async function install(name: AppName): Promise<string> {
  const script = scriptOf(name, PINS[name]);
  const digest = createHash("sha256").update(script.text).update(script.requirements).digest("hex").slice(0, 12);
  const directory = join(CACHE, `${name}-${digest}`);
  const complete = join(directory, "complete");
  if (existsSync(complete)) return directory;
  mkdirSync(CACHE, { recursive: true });
  const text = `test -e "$TO/complete" && exit\nrm -rf "$TO"\nmkdir "$TO"\ncd "$TO"\n${script.text}touch "$TO/complete"\n`;
  const child = Bun.spawn(["flock", `${directory}.lock`, "sh", "-euc", text], {
    env: { ...process.env, TO: directory, REQUIREMENTS: requirementsOf(name), ...NODE_HEADERS },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: INSTALL_MS,
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  if (code !== 0) throw new Error(`cannot install ${name}, ${code}: ${`${stdout}${stderr}`.slice(-3000)}`);
  return directory;
}

// --- internal ---

const CACHE = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "app-proxy-test-apps");

function requirementsOf(name: AppName): string {
  return join(ROOT, "test/fixtures/apps", `${name}.txt`);
}

/** node-gyp would fetch Node's headers from a host that only open networks reach; they lie beside most Nodes. */
const NODE_HEADERS: Record<string, string> = (() => {
  const node = Bun.which("node");
  const prefix = node === null ? null : dirname(dirname(node));
  return prefix !== null && existsSync(join(prefix, "include/node/node.h")) ? { npm_config_nodedir: prefix } : {};
})();

function scriptOf(name: AppName, pin: Pin): { text: string; requirements: string } {
  switch (pin.from) {
    case "pypi":
      return { text: PIP, requirements: readFileSync(requirementsOf(name), "utf8") };
    case "code-server":
      return { text: codeServer(pin.version), requirements: "" };
  }
}

/** All that is needed is listed, so that nothing is left to be resolved: an index that lacks an answer once can't mislead it. */
const PIP = `python3 -m venv .
bin/python -m pip install --quiet --disable-pip-version-check --retries 10 --no-deps --requirement "$REQUIREMENTS"
bin/python -m pip check
`;

/**
 * What its postinstall script does, less what needs other hosts than the registry: ripgrep's package downloads the program
 * (Debian's is linked), and of the modules to be compiled only those that the server loads are (with the node-gyp that
 * npm itself has: newer ones of npm run no scripts that nobody has allowed).
 */
function codeServer(version: string): string {
  return `npm install --ignore-scripts --no-audit --no-fund --no-save code-server@${version}
GYP="$(npm root --global)/npm/node_modules/node-gyp/bin/node-gyp.js"
cd node_modules/code-server/lib/vscode
npm install --ignore-scripts --no-audit --no-fund --omit=dev
ln -s node_modules node_modules.asar
mkdir -p node_modules/@vscode/ripgrep/bin
ln -s "$(command -v rg)" node_modules/@vscode/ripgrep/bin/rg
for MODULE in node-pty @vscode/spdlog native-watchdog; do
  (cd "node_modules/$MODULE" && node "$GYP" rebuild --jobs=2)
done
cd "$TO/node_modules/argon2"
npm_config_node_gyp="$GYP" node ../@mapbox/node-pre-gyp/bin/node-pre-gyp rebuild --build-from-source
`;
}
