/** Debian's jupyter-notebook as a session's container runs it: no login of its own, the proxy lets people in. */
import { join } from "node:path";
import { freePort } from "../ports.ts";
import { listens, startProgram, type Program } from "./program.ts";

export interface Jupyter extends Program {
  port: number;
}

/** `home` holds the notebooks and everything that it writes besides. */
export async function startJupyter(home: string): Promise<Jupyter> {
  const port = await freePort();
  const program = startProgram(
    [
      "jupyter-notebook",
      "--no-browser",
      "--allow-root",
      "--ip=127.0.0.1",
      `--port=${port}`,
      "--port-retries=0",
      "--NotebookApp.token=",
      "--NotebookApp.password=",
      // What it assumes in a container, where it listens on all addresses: it is called by names that are not its own.
      "--NotebookApp.allow_remote_access=True",
      `--notebook-dir=${home}`,
    ],
    {
      env: {
        HOME: home,
        SHELL: "/bin/sh",
        JUPYTER_RUNTIME_DIR: join(home, ".runtime"),
        IPYTHONDIR: join(home, ".ipython"),
      },
    },
  );
  await listens(program, port);
  return { ...program, port };
}
