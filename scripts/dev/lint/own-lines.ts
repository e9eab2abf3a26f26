/**
 * A lint rule that oxlint has not: a function may have 80 lines of its own, without those of the functions inside it. A factory
 * whose methods are short is no long function; a walk through 120 statements is one. Loaded by .oxlintrc.json.
 */

/** More than this on one screen is read in parts. Lines, also empty ones and comments. */
const MOST = 80;

/** What is used of oxlint's nodes (ESTree). */
interface Node {
  loc: { start: { line: number }; end: { line: number } };
}

interface Context {
  report(problem: { node: Node; message: string }): void;
}

function create(context: Context) {
  const open: { inside: number }[] = [];
  const enter = () => void open.push({ inside: 0 });
  const leave = (node: Node) => {
    const lines = node.loc.end.line - node.loc.start.line + 1;
    const own = lines - (open.pop()?.inside ?? 0);
    const around = open.at(-1);
    if (around !== undefined) around.inside += lines;
    if (own > MOST)
      context.report({ node, message: `This function has ${own} lines of its own; wanted at most ${MOST}.` });
  };
  const functions = ["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"];
  return Object.fromEntries(functions.flatMap((kind) => [[kind, enter] as const, [`${kind}:exit`, leave] as const]));
}

export default { meta: { name: "house" }, rules: { "own-lines": { create } } };
