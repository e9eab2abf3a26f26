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

/** Where the app lies, when it was installed before. */
export function installedAt(name: AppName): string | null {
  const directory = directoryOf(name);
  return existsSync(join(directory, "complete")) ? directory : null;
}

/** Where the app lies, installed. */
export async function install(name: AppName): Promise<string> {
  const [script, directory] = [scriptOf(name, PINS[name]), directoryOf(name)];
  if (installedAt(name) !== null) return directory;
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

/** Its name says what is in it. */
function directoryOf(name: AppName): string {
  const { text, requirements } = scriptOf(name, PINS[name]);
  const digest = createHash("sha256").update(text).update(requirements).digest("hex").slice(0, 12);
  return join(CACHE, `${name}-${digest}`);
}

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
    case "debian 11":
      return { text: PYTHON_2, requirements: readFileSync(requirementsOf(name), "utf8") };
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
 * Python 2.7 with its headers, unpacked from Debian 11 with an apt of its own (of the archive that this machine uses), and the
 * last pip for it. What is compiled is `wsaccel`: without it big messages take minutes. `./wstest` runs it.
 */
const PYTHON_2 = `ARCHIVE="$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)"
test -n "$ARCHIVE" || { echo "apt knows no archive of Debian; wanted: apt-get update" >&2; exit 1; }
mkdir -p apt/lists/partial apt/cache/archives/partial
cat > apt/conf <<END
Dir::Etc::SourceList "$TO/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State "$TO/apt";
Dir::Cache "$TO/apt/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Sandbox::User "root";
END
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $ARCHIVE bullseye main" > apt/sources.list
(cd apt
  export APT_CONFIG="$TO/apt/conf"
  apt-get --quiet --quiet update
  apt-get --quiet --quiet download python2.7-minimal libpython2.7-minimal libpython2.7-stdlib libpython2.7-dev libssl1.1 libffi7)
for DEB in apt/*.deb; do dpkg-deb --extract "$DEB" python; done
rm -r apt

cat > python2.7 <<'END'
#!/bin/sh
HERE="$(cd "$(dirname "$0")" && pwd)"
export LD_LIBRARY_PATH="$(echo "$HERE"/python/usr/lib/*-linux-gnu)" PYTHONWARNINGS=ignore
exec "$HERE/python/usr/bin/python2.7" "$@"
END
cat > wstest <<'END'
#!/bin/sh
HERE="$(cd "$(dirname "$0")" && pwd)"
PYTHONPATH="$HERE/site" exec "$HERE/python2.7" "$HERE/site/bin/wstest" "$@"
END
chmod +x python2.7 wstest

python3 -m venv pip
pip/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest pip pip==20.3.4 setuptools==44.0.0 wheel==0.37.1
for WHEEL in pip/*.whl; do pip/bin/python -m zipfile --extract "$WHEEL" tools; done
rm -r pip
export PYTHONPATH="$TO/tools" CPATH="$TO/python/usr/include/python2.7:$TO/python/usr/include"
./python2.7 -m pip --no-python-version-warning install --quiet --disable-pip-version-check --no-deps --target tools Cython==0.29.37
./python2.7 -m pip --no-python-version-warning install --quiet --disable-pip-version-check --retries 10 --no-deps --no-build-isolation --target site --requirement "$REQUIREMENTS"
rm -r tools
touch site/zope/__init__.py
./wstest --autobahnversion
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
