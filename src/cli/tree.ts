/** A tree as lines of text. */

/** A line, lines that belong to it and stand below it, and what branches off. All text must have been made visible. */
export type TreeNode = { line: string; below?: readonly string[]; children?: readonly TreeNode[] };

/**
 * The lines of the nodes with their branches drawn in front.
 *
 * @example drawTree([{ line: "a", children: [{ line: "b" }] }]); // ["└─ a", "   └─ b"]
 */
export function drawTree(nodes: readonly TreeNode[]): string[] {
  const lines: string[] = [];
  // As deep as scopes are within scopes, which is bounded when they are opened.
  const draw = (siblings: readonly TreeNode[], indent: string): void => {
    for (const [at, { line, below = [], children = [] }] of siblings.entries()) {
      const last = at === siblings.length - 1;
      const inner = `${indent}${last ? "   " : "│  "}`;
      lines.push(`${indent}${last ? "└─" : "├─"} ${line}`);
      for (const text of below) lines.push(`${inner}${children.length > 0 ? "│  " : "   "}${text}`.trimEnd());
      draw(children, inner);
    }
  };
  draw(nodes, "");
  return lines;
}
