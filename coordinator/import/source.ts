/**
 * Reads the database of the original's coordinator: one read-only snapshot, whole rows as JSON objects. What the rows mean is
 * judged in rows.ts. Never shows the password of the URL.
 */
import { SQL } from "bun";
import { isRecord } from "../../shared/values.ts";
import { reason } from "../../shared/failure.ts";

/** The newest migration of the original 26.9.6, whose tables are known here. */
export const ALEMBIC_HEAD = "a1b2c3d4e5f6";

export type RawRow = Record<string, unknown>;

/** The original's tables, row by row as it wrote them. */
export interface OriginalTables {
  workers: RawRow[];
  filters: RawRow[];
  circuits: RawRow[];
  endpoints: RawRow[];
  /** Of sessions that have circuits. It forgets none: there may be hundreds of thousands of sessions that are over. */
  tokens: RawRow[];
}

/** Reads everything at `url`. Rejects with what was wrong, without the password. */
export async function readOriginal(url: string): Promise<OriginalTables> {
  const parsed = parseUrl(url);
  const sql = new SQL(parsed.href, { max: 1, connectionTimeout: 10 });
  try {
    return await sql.begin("isolation level repeatable read read only", (tx) => readTables(tx));
  } catch (error) {
    if (error instanceof SchemaFault) throw error;
    const told = withoutPassword(reason(error), parsed);
    throw new Error(`Cannot read the original's database at ${shownUrl(url)}: ${told}`, { cause: error });
  } finally {
    await sql.close();
  }
}

/** The URL without its password, for people. */
export function shownUrl(url: string): string {
  const parsed = parseUrl(url);
  parsed.password = "";
  for (const name of parsed.searchParams.keys()) if (/pass|key/i.test(name)) parsed.searchParams.set(name, "…");
  return parsed.toString();
}

// --- internal ---

class SchemaFault extends Error {}

/** Throws for a URL that is none of PostgreSQL's; SQLAlchemy's name of a driver is taken too. */
function parseUrl(text: string): URL {
  const url = text.replace(/^(postgres(?:ql)?)\+[a-z0-9_]+:/i, "$1:");
  if (!URL.canParse(url) || !/^postgres(ql)?:$/.test(new URL(url).protocol))
    throw new Error("--from: wanted postgresql://USER:PASSWORD@HOST:PORT/DATABASE");
  const parsed = new URL(url);
  if (/%(?![0-9a-f]{2})/i.test(parsed.username + parsed.password))
    throw new Error("--from: wanted a percent sign in user or password as %25");
  return parsed;
}

function withoutPassword(text: string, { password }: URL): string {
  if (password === "") return text;
  return text.replaceAll(password, "…").replaceAll(decodeURIComponent(password), "…");
}

type Sql = Pick<SQL, "unsafe">;

async function readTables(sql: Sql): Promise<OriginalTables> {
  await checkSchema(sql);
  const all = (table: string, where = "") => rows(sql, `SELECT to_jsonb(t) AS row FROM ${table} t ${where}`);
  return {
    workers: await all("workers"),
    filters: await all("worker_app_filters"),
    circuits: await all("circuits"),
    endpoints: await all("endpoints"),
    tokens: await all("tokens", "WHERE EXISTS (SELECT 1 FROM circuits c WHERE t.session_id = ANY (c.session_ids))"),
  };
}

async function rows(sql: Sql, query: string): Promise<RawRow[]> {
  const found: unknown = await sql.unsafe(query);
  return Array.isArray(found)
    ? found.map((one: unknown) => (isRecord(one) && isRecord(one["row"]) ? one["row"] : {}))
    : [];
}

/** Tables of another version may mean other things. */
async function checkSchema(sql: Sql): Promise<void> {
  const [named] = await rows(sql, "SELECT to_jsonb(t) AS row FROM (SELECT to_regclass('alembic_version') AS name) t");
  if (named?.["name"] == null)
    throw new SchemaFault("--from: no database of the original's coordinator: it has no table alembic_version");
  const versions = (await rows(sql, "SELECT to_jsonb(t) AS row FROM alembic_version t")).map(
    (row) => row["version_num"],
  );
  if (versions.length === 1 && versions[0] === ALEMBIC_HEAD) return;
  throw new SchemaFault(
    `--from: the database's schema is ${versions.map(String).join(", ") || "empty"} (alembic_version); ` +
      `wanted ${ALEMBIC_HEAD}, that of the original 26.9.6: bring the original up to date first`,
  );
}
