const BACKSLASH = 0x5c;

/** Members of the objects around the place that is read; undefined for an array. */
type Scope = { readonly seen: Set<string>; isKeyNext: boolean } | undefined;

/**
 * A name that an object of a JSON text has twice: of two members JavaScript and Go take the last, other readers the first.
 * The text is known to be JSON; nothing here recurses, however deep it is.
 */
export function findRepeatedMember(text: string): string | undefined {
  const scopes: Scope[] = [];
  for (let at = 0; at < text.length; at++) {
    const scope = scopes.at(-1);
    switch (text[at]) {
      case '{':
        scopes.push({ seen: new Set(), isKeyNext: true });
        break;
      case '[':
        scopes.push(undefined);
        break;
      case '}':
      case ']':
        scopes.pop();
        break;
      case ',':
        if (scope !== undefined) scope.isKeyNext = true;
        break;
      case '"': {
        const end = endOfString(text, at);
        const name = scope?.isKeyNext === true ? (JSON.parse(text.slice(at, end)) as string) : undefined;
        if (scope !== undefined && name !== undefined) {
          if (scope.seen.has(name)) return name;
          scope.seen.add(name);
          scope.isKeyNext = false;
        }
        at = end - 1;
        break;
      }
    }
  }
  return undefined;
}

// Strings are most of such a text, and V8 looks for a character much faster than code that is run for the first time.
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    if (!isEscaped(text, end)) return end + 1;
  }
  return text.length;
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes += 1;
  return backslashes % 2 === 1;
}
