/** Finds the route that a method and path of this wire name, with what stands in the path in the place of its names. */

export type Matched<T> = { name: string; route: T; params: Readonly<Record<string, string>> };

/**
 * @param routes by method and path, as in `POST /api/v1/executions/:id/cancel`
 * @returns a function that gives undefined for what is no route, or cannot be read
 */
export function matcher<T>(
  routes: Readonly<Record<string, T>>,
): (method: string, path: string) => Matched<T> | undefined {
  const table = Object.entries(routes).map(([name, route]) => {
    const [method = "", path = ""] = name.split(" ");
    return { name, route, method, parts: path.split("/") };
  });
  return (method, path) => {
    const given = path.split("/");
    for (const { name, route, parts, method: own } of table) {
      if (own !== method || parts.length !== given.length) continue;
      const params = paramsOf(parts, given);
      if (params !== undefined) return { name, route, params };
    }
    return undefined;
  };
}

function paramsOf(parts: readonly string[], given: readonly string[]): Record<string, string> | undefined {
  const params: [string, string][] = [];
  for (const [at, part] of parts.entries()) {
    const value = given[at] ?? "";
    if (!part.startsWith(":")) {
      if (part !== value) return undefined;
      continue;
    }
    const text = decoded(value);
    if (text === undefined || text === "") return undefined;
    params.push([part.slice(1), text]);
  }
  return Object.fromEntries(params);
}

function decoded(value: string): string | undefined {
  try {
    return decodeURIComponent(value);
  } catch {
    return undefined;
  }
}
