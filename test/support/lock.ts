/** Another process that holds the write lock of a SQLite file, as a coordinator does that was stopped within a transaction. */
export interface Lock {
  /** Ends its transaction. */
  release(): Promise<void>;
}

/** Resolves when it has the lock. */
export async function holdLock(path: string): Promise<Lock> {
  const program = `
    const { Database } = await import("bun:sqlite");
    const sqlite = new Database(${JSON.stringify(path)});
    sqlite.run("PRAGMA busy_timeout = 60000");
    sqlite.run("BEGIN IMMEDIATE");
    console.log("held");
    for await (const _ of console) break;
    sqlite.run("ROLLBACK");
    sqlite.close();`;
  const child = Bun.spawn([process.execPath, "-e", program], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const said = await child.stdout.getReader().read();
  if (said.value === undefined) throw new Error(`the process ended with ${await child.exited} before it had the lock`);
  return {
    async release() {
      if (child.exitCode !== null) return;
      await child.stdin.write("over\n");
      await child.stdin.end();
      await child.exited;
    },
  };
}
